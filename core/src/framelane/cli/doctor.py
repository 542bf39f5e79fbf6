"""``framelane doctor``: is this machine fit to run a driver, and does one run?"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from framelane.cli.options import ConfigOption, JsonOption, SetOption, make_console, print_json
from framelane.cli.running import DirectoryOption
from framelane.errors import FramelaneError, NativeError

if TYPE_CHECKING:
    from framelane.driver.settings import ResolvedSettings

__all__ = ["Finding", "register"]

_MIB = 1024 * 1024
#: Linux takes at most this much, whatever the setting; 4 MiB covers 10 Gbit/s at 3 ms.
_GOOD_SOCKET_BUFFER = 4 * _MIB
_LOW_SPACE = 160 * _MIB
_GOOD_MEMLOCK = 64 * _MIB


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :ivar next: what to do; empty if nothing.
    """

    name: str
    state: Literal["ok", "note", "warning", "failure"]
    found: str
    next: str = ""


def register(app: typer.Typer) -> None:
    """Add ``doctor``."""
    app.command("doctor")(doctor)


def doctor(
    directory: DirectoryOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check directory, driver, memory, socket buffers, clock, processors and transports; say what to do about each.

    The exit code is 1 if a check failed; warnings cost speed only."""
    from framelane.driver.settings import load_settings

    settings = load_settings(config, overrides=overrides or ())
    findings = list(_examine(directory, settings))
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    if any(finding.state == "failure" for finding in findings):
        raise typer.Exit(1)


def _examine(directory: Path | None, settings: ResolvedSettings) -> Iterator[Finding]:
    from framelane.shm.directory import resolve_directory

    path = resolve_directory(directory if directory is not None else settings.driver.dir)
    yield _check_driver(path)
    yield _check_space(path)
    yield from _check_socket_buffers(settings)
    yield _check_memlock()
    yield _check_hugepages()
    yield _check_clock()
    yield _check_processors(settings)
    yield _check_governor()
    yield from _check_transports(settings)


def _check_driver(directory: Path) -> Finding:
    from framelane._native import lib
    from framelane.shm.cnc import CNC_FILE, CncFile, probe_activity

    path = directory / CNC_FILE
    try:
        with CncFile.map(path, writable=False) as cnc:
            activity = probe_activity(cnc, 10_000)
            if activity.is_active:
                age_ms = time.time_ns() // 1_000_000 - cnc.to_driver().heartbeat_ms()
                return Finding("driver", "ok", f"pid {cnc.metadata.pid} serves {directory}, heartbeat {age_ms} ms old")
            return Finding("driver", "warning", activity.note, "start a driver: framelane driver, or framelaned")
    except NativeError as error:
        if error.code == lib.FL_ENOENT:
            return Finding(
                "driver", "note", f"none serves {directory}", "start one with framelane driver, or set AERON_DIR"
            )
        return Finding("driver", "failure", f"{path}: {error}", "check owner and mode of the driver directory")
    except FramelaneError as error:
        return Finding("driver", "failure", str(error), "run clients and driver of one release line")


def _check_space(directory: Path) -> Finding:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    found = f"{usage.free // _MIB} MiB of {usage.total // _MIB} MiB free on the file system of {existing}"
    if not os.access(existing, os.W_OK):
        return Finding("shared memory", "failure", f"{existing} is not writable", "choose another driver directory")
    if usage.free < _LOW_SPACE:
        return Finding(
            "shared memory",
            "failure",
            found,
            "mount -o remount,size=1G /dev/shm; in a container, give it --shm-size=1g",
        )
    if not _is_tmpfs(existing):
        return Finding("shared memory", "warning", f"{found}, no tmpfs", "keep the driver directory in /dev/shm")
    return Finding("shared memory", "ok", found)


def _is_tmpfs(path: Path) -> bool:
    best, kind = "", ""
    for line in _read("/proc/self/mounts").splitlines():
        _, mount, found, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    return kind in ("tmpfs", "hugetlbfs", "ramfs")


def _check_socket_buffers(settings: ResolvedSettings) -> Iterator[Finding]:
    asked = {"rmem_max": settings.driver.socket_so_rcvbuf, "wmem_max": settings.driver.socket_so_sndbuf}
    for name, configured in asked.items():
        text = _read(f"/proc/sys/net/core/{name}")
        if not text:
            yield Finding(f"net.core.{name}", "note", "not readable here", "look on the host, outside the container")
            continue
        limit = int(text)
        if limit < configured:
            yield Finding(
                f"net.core.{name}",
                "failure",
                f"{limit} bytes, but the driver is configured to ask for {configured}",
                f"sysctl -w net.core.{name}={configured}",
            )
        elif limit < _GOOD_SOCKET_BUFFER:
            yield Finding(
                f"net.core.{name}",
                "warning",
                f"{limit} bytes; bursts on fast networks overflow it",
                f"sysctl -w net.core.{name}={_GOOD_SOCKET_BUFFER}, and raise socket_so_rcvbuf and socket_so_sndbuf",
            )
        else:
            yield Finding(f"net.core.{name}", "ok", f"{limit} bytes")


def _check_memlock() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or soft >= _GOOD_MEMLOCK:
        return Finding("memlock", "ok", "unlimited" if soft == resource.RLIM_INFINITY else f"{soft // _MIB} MiB")
    return Finding(
        "memlock",
        "note",
        f"{soft // 1024} KiB; only transports that register memory with a device need more",
        "ulimit -l unlimited, or LimitMEMLOCK=infinity in the service",
    )


def _check_hugepages() -> Finding:
    values = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    total, free, size = (
        values.get(key, "0").split()[0] for key in ("HugePages_Total", "HugePages_Free", "Hugepagesize")
    )
    if int(total):
        return Finding("hugepages", "ok", f"{free} of {total} free, {size} KiB each")
    return Finding(
        "hugepages", "note", "none reserved; only the dpdk transport needs them", "sysctl -w vm.nr_hugepages=512"
    )


def _check_clock() -> Finding:
    base = "/sys/devices/system/clocksource/clocksource0"
    current = _read(f"{base}/current_clocksource")
    if not current:
        return Finding("clock source", "note", "not readable here")
    if current in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"):
        return Finding("clock source", "ok", current)
    return Finding(
        "clock source",
        "warning",
        f"{current}: each reading is a system call or slower",
        f"echo tsc > {base}/current_clocksource if {base}/available_clocksource has it",
    )


def _check_processors(settings: ResolvedSettings) -> Finding:
    usable = len(os.sched_getaffinity(0))
    mode = settings.driver.threading_mode
    if mode == "DEDICATED" and usable < 4:
        return Finding(
            "processors",
            "warning",
            f"{usable} usable, but DEDICATED runs three agents, and applications need room",
            "set driver.threading_mode to AUTO, SHARED_NETWORK or SHARED",
        )
    return Finding("processors", "ok", f"{usable} usable, threading mode {mode}")


def _check_governor() -> Finding:
    governors = {_read(str(path)) for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor")}
    governors.discard("")
    if not governors:
        return Finding("cpu governor", "note", "not readable here: a virtual machine, or frequency scaling is off")
    if governors == {"performance"}:
        return Finding("cpu governor", "ok", "performance")
    return Finding(
        "cpu governor",
        "warning",
        f"{', '.join(sorted(governors))}: idle cores take long to speed up",
        "cpupower frequency-set -g performance",
    )


def _check_transports(settings: ResolvedSettings) -> Iterator[Finding]:
    from framelane.transport.probe import run_probes

    plugins = settings.registry.plugins
    wanted = settings.transport.configured | {settings.transport.require or ""}
    verdicts = run_probes(plugins.values(), settings.transport.plugins)
    for name, plugin in sorted(plugins.items()):
        verdict = verdicts[name]
        if verdict.usable:
            yield Finding(f"transport {name}", "ok", f"{plugin.claim.distribution} {plugin.claim.version}, usable")
            continue
        obstacle = verdict.obstacles[0] if verdict.obstacles else None
        yield Finding(
            f"transport {name}",
            "failure" if name in wanted else "note",
            obstacle.found if obstacle else "not usable",
            obstacle.next if obstacle else "framelane transports --verbose",
        )
    for broken in settings.registry.broken:
        yield Finding(f"transport {broken.claim.name}", "failure", broken.obstacle.found, broken.obstacle.next)


def _read(path: str) -> str:
    """Return the text of a file of the system; empty if it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _print(findings: list[Finding]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found, and what to do", overflow="fold")
    styles = {"ok": "green", "note": "dim", "warning": "yellow", "failure": "red"}
    for finding in findings:
        text = finding.found + (f"\n-> {finding.next}" if finding.next and finding.state != "ok" else "")
        table.add_row(finding.name, finding.state, text, style=None if finding.state == "ok" else styles[finding.state])
    make_console().print(table)
