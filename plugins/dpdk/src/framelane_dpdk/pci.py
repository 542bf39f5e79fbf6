"""PCI devices as sysfs tells of them, and the names by which they are asked for.

Every function takes the root of sysfs, so that a made-up tree serves as well. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from framelane.errors import FramelaneError
from framelane_dpdk.saved_state import is_pci_address

__all__ = [
    "BIFURCATED_DRIVERS",
    "USER_SPACE_DRIVERS",
    "BindingError",
    "Link",
    "PciDevice",
    "find_device",
    "group_members",
    "is_driver_name",
    "is_interface_name",
    "network_devices",
    "read_device",
    "read_link",
    "upper_interfaces",
]

#: Kernel drivers that DPDK shares the device with, so that there is nothing to bind (bypass 2.3, 2.8).
BIFURCATED_DRIVERS = frozenset({"mlx4_core", "mlx5_core", "mana"})
#: Kernel drivers that give a whole device to a program.
USER_SPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})

_NETWORK_CLASS = 0x02
_SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_INTERFACE_NAME = re.compile(r"[^\s/:\0]{1,15}")
_DRIVER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,62}")
#: The name that vfio gives to the groups it makes where there is no IOMMU.
_NOIOMMU_GROUP = "vfio-noiommu"


class BindingError(FramelaneError):
    """A device that cannot be found, taken or given back."""


@dataclass(frozen=True)
class PciDevice:
    """A device at the moment in which it was looked at."""

    address: str  #: with domain, in lower case
    vendor: int
    device: int
    pci_class: int
    driver: str | None
    driver_override: str | None
    numa_node: int | None
    iommu_group: int | None
    is_noiommu_group: bool  #: the group was made by vfio and protects nothing
    interfaces: tuple[str, ...]  #: those of this network namespace
    virtual_functions: int

    @property
    def is_network(self) -> bool:
        return self.pci_class >> 16 == _NETWORK_CLASS

    @property
    def is_bifurcated(self) -> bool:
        return self.driver in BIFURCATED_DRIVERS

    @property
    def label(self) -> str:
        return f"{self.address} ({', '.join(self.interfaces)})" if self.interfaces else self.address


@dataclass(frozen=True)
class Link:
    """The link of an interface."""

    state: str  #: as Linux says, such as ``up``, ``down``, ``lowerlayerdown``
    speed_mbps: int | None
    mac: str


def is_interface_name(text: str) -> bool:
    """Whether Linux would take the text as the name of an interface."""
    return _INTERFACE_NAME.fullmatch(text) is not None and text not in (".", "..")


def is_driver_name(text: str) -> bool:
    """Whether the text can be a driver's name; only such a one ever becomes a path or is written to sysfs."""
    return _DRIVER_NAME.fullmatch(text) is not None


def network_devices(sysfs: Path) -> list[PciDevice]:
    """Return the network devices in the order of their addresses."""
    found = (read_device(sysfs, entry.name) for entry in _entries(sysfs / "bus/pci/devices"))
    return [device for device in found if device is not None and device.is_network]


def find_device(sysfs: Path, name: str, *, former_names: Iterable[tuple[str, str]] = ()) -> PciDevice:
    """Return the network device with a PCI address, with or without domain, or an interface name.

    :param former_names: interface name and PCI address of devices that were taken from Linux.
    :raises BindingError: if the name is none, or there is no such device, or it is no network device.
    """
    lowered = name.lower()
    address = f"0000:{lowered}" if _SHORT_ADDRESS.fullmatch(lowered) else lowered
    if is_pci_address(address):
        device = read_device(sysfs, address)
        if device is None:
            raise BindingError(
                f"device {address}: not found in {sysfs}/bus/pci/devices; `framelane dpdk list` shows what is there"
            )
        if not device.is_network:
            raise BindingError(f"device {address}: its class is 0x{device.pci_class:06x}, which is no network device")
        return device
    if not is_interface_name(name):
        raise BindingError(f"{name!r} is neither a PCI address such as 0000:03:00.0 nor the name of an interface")
    for device in network_devices(sysfs):
        if name in device.interfaces:
            return device
    for interface, former in former_names:
        taken = read_device(sysfs, former) if interface == name else None
        if taken is not None:
            return taken
    if (sysfs / "class/net" / name).exists():
        raise BindingError(f"interface {name}: it is not that of a PCI device, so there is nothing to bind")
    raise BindingError(f"interface {name}: there is none; `framelane dpdk list` shows devices and interfaces")


def read_device(sysfs: Path, address: str) -> PciDevice | None:
    """Return one device; ``None`` if it is not there, or went away."""
    path = sysfs / "bus/pci/devices" / address
    try:
        group = _link_name(path / "iommu_group")
        node = int(_text(path / "numa_node") or -1)
        override = _text(path / "driver_override")
        return PciDevice(
            address=address,
            vendor=int((path / "vendor").read_text(), 16),
            device=int((path / "device").read_text(), 16),
            pci_class=int((path / "class").read_text(), 16),
            driver=_link_name(path / "driver"),
            driver_override=None if override in ("", "(null)") else override,
            numa_node=None if node < 0 else node,
            iommu_group=None if group is None else int(group),
            is_noiommu_group=group is not None and _text(path / "iommu_group/name") == _NOIOMMU_GROUP,
            interfaces=tuple(_interfaces(path)),
            virtual_functions=int(_text(path / "sriov_numvfs") or 0),
        )
    except (OSError, ValueError):
        return None


def group_members(sysfs: Path, device: PciDevice) -> list[PciDevice]:
    """Return the devices that share the IOMMU group of a device, itself among them."""
    entries = _entries(sysfs / "bus/pci/devices" / device.address / "iommu_group/devices")
    return [one for one in (read_device(sysfs, entry.name) for entry in entries) if one is not None]


def read_link(sysfs: Path, interface: str) -> Link:
    """Return the state of a link, as far as it can be read."""
    path = sysfs / "class/net" / interface
    speed = _text(path / "speed")  # EINVAL while the link is down
    return Link(
        state=_text(path / "operstate") or "unknown",
        speed_mbps=int(speed) if speed.isdigit() else None,
        mac=_text(path / "address"),
    )


def upper_interfaces(sysfs: Path, interface: str) -> list[str]:
    """Return the interfaces that stand on this one: bonds, bridges, VLANs."""
    return [entry.name.removeprefix("upper_") for entry in _entries(sysfs / "class/net" / interface, "upper_")]


def _interfaces(path: Path) -> Iterator[str]:
    # Those of virtio hang below a device of its own.
    for directory in (path / "net", *(entry / "net" for entry in _entries(path, "virtio"))):
        yield from (entry.name for entry in _entries(directory))


def _entries(directory: Path, prefix: str = "") -> list[Path]:
    try:
        return sorted(entry for entry in directory.iterdir() if entry.name.startswith(prefix))
    except OSError:
        return []


def _link_name(path: Path) -> str | None:
    return path.readlink().name if path.is_symlink() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
