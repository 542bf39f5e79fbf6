"""Can VMA be used here, and if not, what is to be done?

The library is loaded and makes one socket: in the process of a probe, where an abort is a verdict too. Without RDMA in
the kernel VMA does not fall back to sockets of the kernel; its first socket fails.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framelane.transport import Capabilities, Device, Findings, Verdict
from framelane_vma import environment
from framelane_vma.devices import RdmaDevice, find_devices
from framelane_vma.library import Library, LibraryError, load, try_socket
from framelane_vma.settings import VmaSettings

__all__ = ["Machine", "capabilities_of", "examine", "probe"]

MAX_DATAGRAM = 65507
_CAP_NET_RAW = 13
_MIB = 1024 * 1024


def capabilities_of(library: Library) -> Capabilities:
    """Return what a transport over a library can do."""
    return Capabilities(
        zero_copy_rx=library.has_zero_copy,
        multicast=True,
        queues=0,
        max_datagram=MAX_DATAGRAM,
        loops_back=True,
        needs_privilege=not library.is_stand_in,
    )


@dataclass(frozen=True)
class Machine:
    """Where a probe looks."""

    sys_root: Path = Path("/sys")
    proc_root: Path = Path("/proc")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    memlock: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
    load: Callable[[str, Mapping[str, str]], Library] = load
    try_socket: Callable[[], str] = try_socket


def probe(settings: VmaSettings) -> Verdict:
    """Look at library, adapters and limits; see :class:`framelane.transport.TransportSpec`."""
    return examine(settings, Machine())


def examine(settings: VmaSettings, machine: Machine) -> Verdict:
    """Probe a machine."""
    findings = Findings()
    devices = find_devices(machine.sys_root)
    for device in devices:
        findings.fact("adapter", device)
    library = _check_library(findings, settings, machine)
    is_stand_in = library is not None and library.is_stand_in
    interfaces = _check_devices(findings, settings, machine, devices, is_stand_in=is_stand_in)
    if not is_stand_in:
        _check_verbs(findings, devices)
        _check_limits(findings, settings, machine)
    if library is not None:
        _check_socket(findings, machine, library, has_device=bool(devices))
    return Verdict(
        usable=findings.is_usable,
        capabilities=Capabilities() if library is None else capabilities_of(library),
        facts=tuple(findings.facts),
        obstacles=tuple(findings.obstacles),
        devices=tuple(Device(name=name, interface=name) for name in interfaces),
    )


def _check_library(findings: Findings, settings: VmaSettings, machine: Machine) -> Library | None:
    variables = environment.derive(settings)
    findings.fact("environment", " ".join(f"{name}={value}" for name, value in sorted(variables.items())))
    for name, value in sorted(environment.replaced(variables, machine.environ).items()):
        findings.fact("replaced", f"{name}={value} of the environment, by {variables[name]}")
    try:
        library = machine.load(settings.library, environment.PROBE_VARIABLES | variables)
    except LibraryError as error:
        findings.refuse(
            f"the library {settings.library}",
            str(error),
            "the dynamic linker's path" if "/" not in settings.library else settings.library,
            "install libvma (RHEL: package libvma; NVIDIA: MLNX_OFED with --vma; else from its sources), or set "
            "transport.vma.library to the file",
        )
        return None
    except ImportError as error:
        findings.refuse(
            "the native module framelane_vma._native",
            str(error),
            str(Path(__file__).parent),
            "reinstall framelane-vma: pip install --force-reinstall framelane-vma",
        )
        return None
    findings.fact("library", library.path + (f", version {library.version}" if library.version else ""))
    if library.is_stand_in:
        findings.fact("stand-in", "this library is not VMA but the stand-in of framelane's tests, over kernel sockets")
    findings.fact("extra API", f"supported mask 0x{library.api_mask:x}" if library.has_api else "none")
    findings.fact("zero-copy receive", "yes" if library.has_zero_copy else "no: datagrams are copied")
    if not library.has_verdict:
        findings.note(
            "the extra API of VMA, to ask which sockets are offloaded",
            "the library has none" if not library.has_api else "it has no get_socket_rings_num",
            library.path,
            "run a libvma of 9.x; look at vma_stats for which sockets are offloaded",
        )
    if settings.zero_copy and not library.has_zero_copy:
        findings.note(
            "zero-copy receive",
            "the library offers no recvfrom_zcopy, so every datagram is copied once more",
            library.path,
            "run a libvma of 9.x, or set transport.vma.zero_copy = false",
        )
    return library


def _check_devices(
    findings: Findings, settings: VmaSettings, machine: Machine, devices: Sequence[RdmaDevice], *, is_stand_in: bool
) -> tuple[str, ...]:
    """Return the interfaces that are served."""
    behind = {name for device in devices for name in device.interfaces}
    where = str(machine.sys_root / "class/infiniband")
    if is_stand_in:
        behind = set(settings.interfaces)
    elif not devices:
        findings.refuse(
            "a ConnectX or BlueField adapter",
            "no RDMA device of NVIDIA",
            where,
            "load the drivers (modprobe mlx5_ib; mlx4_ib for ConnectX-3), or leave vma out of transport.use",
        )
    elif not behind:
        findings.refuse(
            "a network interface on the adapter",
            f"{', '.join(device.name for device in devices)} has none",
            where,
            "switch the adapter to Ethernet (mlxconfig LINK_TYPE_P1=2), or bring the interface into this namespace",
        )
    for name in settings.interfaces:
        if name not in behind and devices:
            findings.refuse(
                f"interface {name} on a ConnectX adapter",
                f"the adapters have {', '.join(sorted(behind)) or 'no interface'}",
                where,
                "set transport.vma.interfaces to some of them, or leave it out for all",
            )
    if is_stand_in and not settings.interfaces:
        findings.refuse(
            "an interface", "no device configured", "transport.vma.interfaces", "name the interfaces of the test there"
        )
    return tuple(name for name in settings.interfaces or sorted(behind) if name in behind)


def _check_verbs(findings: Findings, devices: Sequence[RdmaDevice]) -> None:
    without = [device.name for device in devices if not device.has_verbs]
    if without:
        findings.refuse(
            "the kernel's verbs for programs",
            f"{', '.join(without)} is not offered to programs",
            "/sys/class/infiniband_verbs",
            "load the module (modprobe ib_uverbs); in a container, pass /dev/infiniband through",
        )


def _check_limits(findings: Findings, settings: VmaSettings, machine: Machine) -> None:
    unlimited = machine.memlock == resource.RLIM_INFINITY
    findings.fact("memlock", "unlimited" if unlimited else f"{machine.memlock // 1024} KiB")
    if not unlimited:
        findings.note(
            "memory that may be locked, without limit",
            f"{machine.memlock // 1024} KiB; VMA registers hundreds of megabytes with the adapter by default",
            "RLIMIT_MEMLOCK",
            "ulimit -l unlimited; systemd LimitMEMLOCK=infinity; docker run --ulimit memlock=-1; or set "
            "transport.vma.rx_bufs and tx_bufs low",
        )
    status = _read(machine.proc_root / "thread-self/status")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    has_net_raw = bool(found and int(found[1], 16) >> _CAP_NET_RAW & 1)
    findings.fact("CAP_NET_RAW", "yes" if has_net_raw else "no")
    if not has_net_raw:
        findings.refuse(
            "the capability CAP_NET_RAW",
            "it is missing",
            "/proc/self/status",
            "run as root, or grant it: systemd AmbientCapabilities=CAP_NET_RAW; docker run --cap-add NET_RAW",
        )
    values = dict(re.findall(r"^(\w+):\s+(\d+)", _read(machine.proc_root / "meminfo"), re.MULTILINE))
    free, size = int(values.get("HugePages_Free", 0)), int(values.get("Hugepagesize", 0))
    findings.fact("hugepages", f"{free} free, {size} KiB each")
    if settings.memory == "hugepages" and free == 0:
        findings.note(
            "huge pages for VMA's buffers",
            "none is free, so VMA takes other memory and warns",
            "/proc/meminfo",
            "sysctl -w vm.nr_hugepages=800, or take transport.vma.memory out",
        )


def _check_socket(findings: Findings, machine: Machine, library: Library, *, has_device: bool) -> None:
    why = machine.try_socket()
    if not why:
        return
    rdma = machine.sys_root / "class/infiniband"
    if not has_device and not library.is_stand_in:
        reason = "the kernel has no RDMA device of NVIDIA" if rdma.is_dir() else f"the kernel has no RDMA: no {rdma}"
        why = f"it is loaded, and {why}; {reason}"
    findings.refuse(
        f"a UDP socket of {library.path}",
        why,
        "in this process" if library.is_stand_in else "a first socket, in the process of the probe",
        "give VMA an adapter with RDMA in the kernel, as above, for it does not fall back to the kernel by itself; or "
        "leave vma out of transport.use"
        if not has_device
        else "VMA's own log says why: framelane transports --set transport.vma.log_level=debug "
        "--set transport.vma.log_file=/tmp/vma.log",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
