"""The verdict: what DPDK is here, what is in the way of opening the device that is configured, and what to do.

It looks at files of the kernel and loads the native module. It starts no DPDK and opens no device.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane.transport import Capabilities, Device, Fact, Obstacle, Verdict
from framelane_dpdk.checks import group_obstacles
from framelane_dpdk.environment import free_hugepages, resolve_environment
from framelane_dpdk.hugepages import format_size, pools
from framelane_dpdk.in_use import device_holders
from framelane_dpdk.naming import is_ena, sysfs, usable_devices
from framelane_dpdk.native import missing_native, version_of
from framelane_dpdk.pci import USER_SPACE_DRIVERS, PciDevice, network_devices
from framelane_dpdk.settings import DpdkSettings, processors_of
from framelane_dpdk.target import Target, find_target
from framelane_dpdk.vdevs import RING, VDEVS, split_name

__all__ = ["make_verdict"]

_PROC = Path("/proc")
_PROCESSORS = Path("/sys/devices/system/cpu")
_CAPABILITY_BITS = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_ADMIN": 21,
    "CAP_BPF": 39,
}
_MLX5_CAPABILITIES = ("CAP_NET_RAW", "CAP_NET_ADMIN")
#: Longest that /proc is searched: a probe has two seconds.
_HOLDERS_LIMIT_S = 0.5
_LEAST_MEMLOCK = 64 << 20
_HEADERS = 20 + 8
_HEADERS_IPV6 = 40 + 8


def make_verdict(settings: DpdkSettings) -> Verdict:
    """Return the verdict on the transport with these settings."""
    facts = list(_machine_facts())
    try:
        from framelane_dpdk._native import ffi, lib
    except ImportError as error:
        return Verdict(usable=False, facts=tuple(facts), obstacles=(missing_native(error),), devices=())
    loaded = ffi.new("fl_dpdk_version_t *")
    lib.fl_dpdk_version(loaded)
    drivers = Path(ffi.string(loaded.drivers).decode())
    facts[:0] = _library_facts(ffi, loaded, drivers)
    try:
        target = find_target(settings, version_of(ffi, lib))
    except TransportError as error:
        asked, _, rest = str(error).partition(": ")
        found, _, hint = rest.partition("; ")
        obstacle = Obstacle(asked=asked, found=found or asked, where=str(sysfs()), next=hint or "correct the setting")
        return Verdict(usable=False, facts=tuple(facts), obstacles=(obstacle,), devices=())
    if target is None:
        return Verdict(usable=False, facts=tuple(facts), obstacles=(_not_configured(),), devices=())
    facts += _target_facts(target)
    obstacles = tuple(_obstacles(settings, target, drivers, loaded.abi_major))
    return Verdict(
        usable=not obstacles,
        capabilities=_capabilities(settings, target),
        facts=tuple(facts),
        obstacles=obstacles + tuple(_warnings(target)),
        devices=(_device(settings, target),),
    )


def _library_facts(ffi: Any, loaded: Any, drivers: Path) -> list[Fact]:
    built, here = (ffi.string(text).decode() for text in (loaded.built, loaded.loaded))
    names = sorted({one.name.removeprefix("librte_").partition(".so")[0] for one in _entries(drivers, "librte_net_")})
    virtual = [name for name in names if name in VDEVS]
    return [
        Fact("DPDK", f"{here}, ABI {loaded.abi_major}; compiled against {built}"),
        Fact("drivers", f"{len(names)} for networks in {drivers}; virtual: {', '.join(virtual) or 'none'}"),
    ]


def _machine_facts() -> Iterator[Fact]:
    sizes = ((pool, format_size(pool.size_kib)) for pool in pools(sysfs()))
    found = [f"node {pool.node}: {pool.free} of {pool.total} x {size} free" for pool, size in sizes]
    yield Fact("hugepages", "; ".join(found) or "this kernel has none")
    iommus = [entry.name for entry in _entries(sysfs() / "class/iommu")]
    yield Fact("IOMMU", ", ".join(iommus) or "none")
    devices = [f"{one.label} {one.driver or 'no driver'}" for one in network_devices(sysfs())]
    yield Fact("devices", "; ".join(devices) or "no network device on the PCI bus")


def _target_facts(target: Target) -> Iterator[Fact]:
    yield Fact("device", target.name if target.pci is None else f"{target.pci.label}, {target.pci.driver}")
    if target.pci is not None:
        node = target.pci.numa_node
        yield Fact("NUMA node", "unknown" if node is None else str(node))


def _not_configured() -> Obstacle:
    candidates = usable_devices()
    lines = 'device = "0000:03:00.0" or vdev = "net_memif" under [transport.dpdk]'
    if candidates:
        lines = " or ".join(f'device = "{device.address}"' for device in candidates) + " under [transport.dpdk]"
    taken = "" if candidates else "; `framelane dpdk list` shows devices, `framelane dpdk bind` takes one from Linux"
    return Obstacle(
        asked="a device",
        found="no device configured",
        where="[transport.dpdk]",
        next=f"add {lines}{taken}",
    )


def _obstacles(settings: DpdkSettings, target: Target, drivers: Path, abi_major: int) -> Iterator[Obstacle]:
    if target.pci is None:
        yield from _virtual_obstacles(settings, target, drivers, abi_major)
    elif target.pci.is_bifurcated:
        yield from _missing_capabilities(_MLX5_CAPABILITIES, f"the interface {target.interface} by {target.pci.driver}")
    else:
        yield from _physical_obstacles(target.pci)
    yield from _memory_obstacles(settings, target)
    yield from _processor_obstacles(settings)


def _processor_obstacles(settings: DpdkSettings) -> Iterator[Obstacle]:
    there = {int(entry.name.removeprefix("cpu")) for entry in _PROCESSORS.glob("cpu[0-9]*")}
    missing = sorted(processor for processor in processors_of(settings.cores or "") if processor not in there)
    if missing:
        yield Obstacle(
            asked=f"transport.dpdk.cores = {settings.cores}",
            found=f"this machine has no processor {', '.join(map(str, missing))}",
            where=str(_PROCESSORS),
            next=f"name some of 0 to {max(there)}, or leave cores out",
        )


def _virtual_obstacles(settings: DpdkSettings, target: Target, drivers: Path, abi_major: int) -> Iterator[Obstacle]:
    assert settings.vdev is not None
    driver, _ = split_name(settings.vdev)
    vdev = VDEVS[driver]
    library = drivers / f"librte_{driver}.so.{abi_major}"
    if drivers.is_dir() and not library.exists():
        yield Obstacle(
            asked=f"DPDK's driver {driver}",
            found="it is not installed",
            where=str(library),
            next=f"install it: librte-{driver.replace('_', '-')}{abi_major} (Debian), or all drivers with dpdk",
        )
    yield from _missing_capabilities(vdev.capabilities, f"vdev {target.name}")
    if target.interface is not None and target.mtu is None:
        yield Obstacle(
            asked=f"the interface {target.interface}",
            found="there is none of that name",
            where="the network namespace of this process",
            next="name an interface that `ip link` shows",
        )
    for name in ("rx_pcap",):
        file = settings.vdev_args.get(name)
        if file is not None and not os.access(str(file), os.R_OK):
            yield Obstacle(
                f"the file {file}", "it cannot be read", f"vdev_args.{name}", "name a capture that can be read"
            )
    if driver == "net_tap" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        yield Obstacle(
            asked="a TAP interface",
            found="/dev/net/tun cannot be opened",
            where="/dev/net/tun",
            next="load the kernel module tun; in a container, pass the device node in",
        )


def _physical_obstacles(device: PciDevice) -> Iterator[Obstacle]:
    where = f"{sysfs()}/bus/pci/devices/{device.address}/driver"
    if device.driver not in USER_SPACE_DRIVERS:
        name = device.interfaces[0] if device.interfaces else device.address
        yield Obstacle(
            asked=f"the device {device.address} for DPDK",
            found=f"Linux has it: driver {device.driver}, interface {name}" if device.driver else "it has no driver",
            where=where,
            next=f"framelane dpdk bind {name}",
        )
        return
    if device.driver != "vfio-pci":
        if os.geteuid() != 0:
            yield Obstacle(
                asked=f"the device {device.address} through {device.driver}",
                found="this process is not root",
                where=where,
                next="run as root, or bind it to vfio-pci on a machine with an IOMMU",
            )
        return
    if device.iommu_group is None:
        again = f"bind it again: framelane dpdk bind {device.address}"
        yield Obstacle("an IOMMU group of the device", "it has none", where, again)
        return
    for one in group_obstacles(sysfs(), device):
        yield Obstacle(f"the device {device.address} through vfio-pci", one.found, where, one.next)
    holders = device_holders(
        sysfs(),
        _PROC,
        device.address,
        device.iommu_group,
        without=(os.getpid(), os.getppid()),  # of a probe: the driver, which may have it
        limit_s=_HOLDERS_LIMIT_S,
    )
    if holders:
        yield Obstacle(
            asked=f"the device {device.address}, which one program can have at a time",
            found=f"it is in use by {', '.join(holders)}",
            where=f"/dev/vfio/{device.iommu_group}",
            next="end that, or name another device",
        )
    node = Path("/dev/vfio") / (f"noiommu-{device.iommu_group}" if device.is_noiommu_group else str(device.iommu_group))
    for path in (Path("/dev/vfio/vfio"), node):
        if not os.access(path, os.R_OK | os.W_OK):
            yield Obstacle(
                asked=f"{path}, readable and writable",
                found="permission denied" if path.exists() else "it does not exist",
                where=str(path),
                next=f"chown the driver's user to it, or run as root (as {_user()} now)"
                if path.exists()
                else "bind the device again; in a container, pass the device node in",
            )
    if device.is_noiommu_group:
        yield from _missing_capabilities(("CAP_SYS_RAWIO",), f"{device.address} without an IOMMU")
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_MEMLOCK and "CAP_IPC_LOCK" in _lacking(["CAP_IPC_LOCK"]):
        yield Obstacle(
            asked="memory that the device may reach",
            found=f"this process may lock {limit >> 20} MiB",
            where="RLIMIT_MEMLOCK",
            next="ulimit -l unlimited, or LimitMEMLOCK=infinity in the service's unit",
        )


def _memory_obstacles(settings: DpdkSettings, target: Target) -> Iterator[Obstacle]:
    environment = resolve_environment(settings, needs_physical=target.needs_physical)
    free = free_hugepages()
    if not free and (environment.hugepages or target.needs_physical):
        why = "the device reads physical addresses" if target.needs_physical else "transport.dpdk.hugepages = true"
        yield Obstacle(
            asked=f"huge pages: {why}",
            found="none are free",
            where=f"{sysfs()}/devices/system/node/node*/hugepages",
            next="framelane dpdk hugepages 512",
        )
    wanted = environment.memory or 0
    there = sum(pool.free * pool.size_kib for pool in free) >> 10
    if environment.hugepages and free and wanted > there:
        yield Obstacle(
            asked=f"transport.dpdk.memory = {wanted} MiB in huge pages",
            found=f"{there} MiB are free",
            where=f"{sysfs()}/devices/system/node/node*/hugepages",
            next="reserve more with `framelane dpdk hugepages`, or ask for less",
        )
    if environment.iova == "pa" and _lacking(["CAP_SYS_ADMIN"]):
        yield Obstacle(
            asked="physical addresses of memory (iova = pa)",
            found=f"the kernel does not show them to {_user()}",
            where="/proc/self/pagemap",
            next="run as root, or use an IOMMU, with which iova = va needs none",
        )


def _missing_capabilities(names: tuple[str, ...], what: str) -> Iterator[Obstacle]:
    lacking = _lacking(names)
    if lacking:
        listed = ",".join(name.lower() for name in lacking)
        yield Obstacle(
            asked=f"{what}: {' and '.join(lacking)}",
            found=f"{_user()} lacks {'it' if len(lacking) == 1 else 'them'}",
            where="/proc/self/status, CapEff",
            next=f"run as root, or grant it: AmbientCapabilities={' '.join(lacking)} in the service's unit, or "
            f"setcap {listed}+ep on the interpreter",
        )


def _warnings(target: Target) -> Iterator[Obstacle]:
    """Yield what costs performance and stops nothing."""
    if target.pci is not None and is_ena(target.pci) and target.pci.driver in ("vfio-pci", "uio_pci_generic"):
        of_most = " of most kernels" if target.pci.driver == "vfio-pci" else ""
        yield Obstacle(
            asked="write combining for the ENA device's memory",
            found=f"{target.pci.driver}{of_most} maps it without, which makes every transmission slow",
            where=f"{sysfs()}/bus/pci/devices/{target.pci.address}/driver",
            next="use the vfio-pci with write combining that Amazon provides, or igb_uio with wc_activate=1",
        )


def _capabilities(settings: DpdkSettings, target: Target) -> Capabilities:
    """What can be said without opening the device; what was opened may say less."""
    driver = None if settings.vdev is None else split_name(settings.vdev)[0]
    many = settings.queues if driver in (None, RING) else 1
    return Capabilities(
        zero_copy_rx=True,
        zero_copy_tx=settings.zero_copy_tx,
        hardware_timestamps=settings.timestamps,
        multicast=not target.is_ena,
        ipv6=True,
        kernel_coexists=target.kernel_coexists,
        queues=many,
        max_datagram=(target.mtu or 1500) - _HEADERS,
        max_datagram_ipv6=(target.mtu or 1500) - _HEADERS_IPV6,
        needs_privilege=target.pci is not None or bool(driver and VDEVS[driver].capabilities),
    )


def _device(settings: DpdkSettings, target: Target) -> Device:
    if target.kernel_coexists:
        return Device(name=target.name, interface=target.interface)
    reaches = [str(route.to) for route in settings.routes]
    reaches += ["0.0.0.0/0" if gateway.version == 4 else "::/0" for gateway in settings.gateway]
    return Device(
        name=target.name,
        addresses=tuple(str(ip_interface(str(address))) for address in settings.addresses),
        reaches=tuple(reaches),
    )


def _lacking(names: tuple[str, ...] | list[str]) -> list[str]:
    effective = 0
    for line in (_PROC / "self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    return [name for name in names if not effective >> _CAPABILITY_BITS[name] & 1]


def _user() -> str:
    return f"user {os.geteuid()}"


def _entries(directory: Path, prefix: str = "") -> list[Path]:
    try:
        return sorted(entry for entry in directory.iterdir() if entry.name.startswith(prefix))
    except OSError:
        return []
