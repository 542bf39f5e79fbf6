"""Which PCI device a setting means: by address, by interface name, by number."""

from __future__ import annotations

import os
from pathlib import Path

from framelane_dpdk import saved_state
from framelane_dpdk.pci import USER_SPACE_DRIVERS, PciDevice, network_devices

__all__ = ["SYSFS_VARIABLE", "is_ena", "is_usable", "numbered_device", "pci_address_of", "sysfs", "usable_devices"]

#: Names another place than ``/sys``; for tests.
SYSFS_VARIABLE = "FRAMELANE_DPDK_SYSFS"

_AMAZON = 0x1D0F
_ENA_DEVICES = frozenset({0xEC20, 0xEC21})


def sysfs() -> Path:
    """Return the root of sysfs."""
    return Path(os.environ.get(SYSFS_VARIABLE) or "/sys")


def is_usable(device: PciDevice) -> bool:
    """Whether DPDK can take a device as it is bound now."""
    return device.driver in USER_SPACE_DRIVERS or (device.is_bifurcated and bool(device.interfaces))


def is_ena(device: PciDevice) -> bool:
    """Whether it is Amazon's network adapter (``bypass-apis`` 2.9)."""
    return device.vendor == _AMAZON and device.device in _ENA_DEVICES


def usable_devices() -> list[PciDevice]:
    """Return the network devices that DPDK can take as they are bound now, by PCI address."""
    return [device for device in network_devices(sysfs()) if is_usable(device)]


def numbered_device(number: int) -> str | None:
    """Return the PCI address of the device of this number among :func:`usable_devices`."""
    usable = usable_devices()
    return usable[number].address if number < len(usable) else None


def pci_address_of(device: str) -> str | None:
    """Return the PCI address of a device that is named by it, by its interface, or by the interface that it was.

    The device need not be there. ``None``: no such interface is or was one of a PCI device.

    :raises framelane_dpdk.saved_state.SavedStateError: if what was kept of an interface is damaged.
    """
    address = device.lower() if device.count(":") == 2 else f"0000:{device.lower()}"
    if saved_state.is_pci_address(address):
        return address
    for one in network_devices(sysfs()):
        if device in one.interfaces:
            return one.address
    if (sysfs() / "class/net" / device).exists():
        return None
    saved = saved_state.find(device)
    return None if saved is None else saved.pci_address
