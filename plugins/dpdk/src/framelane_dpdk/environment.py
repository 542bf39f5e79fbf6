"""DPDK's environment (EAL): its arguments from the settings, and that a process has one only.

``bypass-apis`` 2.2 and 2.12.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields

from framelane.errors import TransportError
from framelane_dpdk.hugepages import Pool, pools
from framelane_dpdk.naming import sysfs
from framelane_dpdk.settings import DpdkSettings

__all__ = ["Environment", "environment_arguments", "free_hugepages", "resolve_environment", "start_environment"]

#: Plain pages are taken at the start, all of them.
_PLAIN_MEMORY_MIB = 256
#: A bridge on which no driver of DPDK works: naming it keeps DPDK from taking every device that it could.
_NO_DEVICE = "0000:00:00.0"


@dataclass(frozen=True)
class Environment:
    """What the one environment of a process is started with."""

    cores: str
    memory: int | None
    hugepages: bool
    iova: str
    file_prefix: str | None
    extra_eal_args: tuple[str, ...]


def free_hugepages() -> list[Pool]:
    """Return the pools that have free huge pages."""
    return [pool for pool in pools(sysfs()) if pool.free > 0]


def resolve_environment(settings: DpdkSettings, *, needs_physical: bool) -> Environment:
    """Return what the settings come to on this machine.

    :param needs_physical: the device reads memory by physical addresses: it is a real one, and there is no IOMMU.
    """
    hugepages = bool(free_hugepages()) if settings.hugepages is None else settings.hugepages
    iova = settings.iova
    if iova == "auto":
        iova = "pa" if needs_physical and hugepages else "va"
    return Environment(
        cores=settings.cores or ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        memory=settings.memory if hugepages else settings.memory or _PLAIN_MEMORY_MIB,
        hugepages=hugepages,
        iova=iova,
        file_prefix=settings.file_prefix,
        extra_eal_args=settings.extra_eal_args,
    )


def environment_arguments(environment: Environment, version: tuple[int, int]) -> list[str]:
    """Return the arguments of ``rte_eal_init``.

    One lcore that may run on every processor: the thread that starts the environment is its main one and does little.

    :param version: year and month of the DPDK release, ``(22, 11)``.
    """
    arguments = ["framelane", f"--lcores=0@({environment.cores})", "--no-telemetry", "--log-level=warning"]
    # Up to 25.07 --in-memory and --no-huge refuse each other.
    arguments += ["--in-memory"] if environment.hugepages else ["--no-huge", "--no-shconf"]
    if environment.memory is not None:
        arguments += ["-m", str(environment.memory)]
    arguments += [f"--iova-mode={environment.iova}"]
    # Devices are added one by one as transports open them.
    arguments += ["--no-auto-probing"] if version >= (26, 3) else ["-a", _NO_DEVICE]
    if environment.file_prefix is not None:
        arguments.append(f"--file-prefix={environment.file_prefix}")
    return [*arguments, *environment.extra_eal_args]


_lock = threading.Lock()
_started: Environment | None = None
_failure = ""


def start_environment(settings: DpdkSettings, *, needs_physical: bool) -> Environment:
    """Start the environment of this process, or share the one that it has.

    It stays until the process ends: DPDK can be started once.

    :raises TransportError: if it cannot be started, or was started with other values than these settings name.
    """
    from framelane_dpdk._native import ffi, lib

    global _started, _failure
    with _lock:
        if _failure:
            raise TransportError(f"{_failure}; another try needs a new process")
        wanted = resolve_environment(settings, needs_physical=needs_physical)
        if _started is not None and lib.fl_dpdk_eal_is_started():
            _check_same(settings, wanted, _started)
            return _started
        version = ffi.new("fl_dpdk_version_t *")
        lib.fl_dpdk_version(version)
        arguments = environment_arguments(wanted, (version.loaded_year, version.loaded_month))
        kept = [ffi.new("char[]", argument.encode()) for argument in arguments]
        text = ffi.new("char[1024]")
        code = lib.fl_dpdk_eal_start(ffi.new("char *[]", kept), len(kept), text, len(text))
        if code != 0:
            said = ffi.string(text).decode("utf-8", "replace")
            failure = (
                f"DPDK cannot be started with {' '.join(arguments[1:])}: {said}; next: correct what it complains of, "
                "which comes from cores, memory, hugepages, iova, file_prefix or extra_eal_args of [transport.dpdk]"
            )
            if code != -lib.FL_EBUSY:  # DPDK keeps what it parsed, and a second try trips over that
                _failure = failure
            raise TransportError(failure)
        _started = wanted
        return wanted


def _check_same(settings: DpdkSettings, wanted: Environment, started: Environment) -> None:
    """What a second driver of the process names must be what the first one started with; the rest it shares."""
    named = set(_named(settings))
    if wanted.iova == "pa":
        named.add("iova")
    different = [
        f"{name} = {getattr(wanted, name)!r}, and this process runs DPDK with {getattr(started, name)!r}"
        for name in sorted(named)
        if getattr(wanted, name) != getattr(started, name)
    ]
    if different:
        raise TransportError(
            "a process has one DPDK environment: transport.dpdk asks for "
            + "; ".join(different)
            + "; give both drivers the same values, or start one in a process of its own"
        )


def _named(settings: DpdkSettings) -> Iterable[str]:
    for one in fields(Environment):
        value = getattr(settings, one.name)
        if value != type(settings).model_fields[one.name].default:
            yield one.name
