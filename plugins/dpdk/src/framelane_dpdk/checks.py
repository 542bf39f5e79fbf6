"""What stands against taking a device from Linux."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from framelane_dpdk.in_use import Socket, addresses_of, sockets_on
from framelane_dpdk.linux_interface import LinuxInterface
from framelane_dpdk.machine import Machine
from framelane_dpdk.pci import USER_SPACE_DRIVERS, PciDevice, group_members, upper_interfaces

__all__ = ["Obstacle", "captured", "group_obstacles", "obstacles", "users"]

#: Drivers beside which vfio takes a group: they do no DMA on anybody's behalf.
_HARMLESS_IN_GROUP = frozenset({"vfio-pci", "pci-stub", "pcieport"})
_SHOWN = 5


@dataclass(frozen=True)
class Obstacle:
    """One reason to leave a device with Linux.

    :ivar can_force: whether ``--force`` takes it all the same.
    """

    found: str
    next: str
    can_force: bool = False


def captured(machine: Machine, device: PciDevice) -> LinuxInterface | None:
    """Return the configuration of the device's interface; ``None`` unless it has exactly one.

    :raises BindingError: if the kernel does not tell it.
    """
    if device.driver is None or len(device.interfaces) != 1:
        return None
    return machine.network.capture(
        device.interfaces[0], pci_address=device.address, driver=device.driver, boot_id=machine.boot_id
    )


def obstacles(
    machine: Machine, device: PciDevice, interface: LinuxInterface | None, *, taken: Collection[str], for_vfio: bool
) -> Iterator[Obstacle]:
    """Yield what stands against taking a device.

    :param interface: its configuration, of :func:`captured`.
    :param taken: addresses of all devices that are taken together.
    :param for_vfio: it shall be given to a program, for which the rest of its IOMMU group matters.
    """
    if device.is_bifurcated:
        yield Obstacle(
            f"its driver {device.driver} shares the device with DPDK, so it needs no binding",
            f'leave it with Linux, and set transport.dpdk.device = "{device.address}"',
        )
        return
    override = machine.sysfs / "bus/pci/devices" / device.address / "driver_override"
    if not os.access(override, os.W_OK):
        yield Obstacle(
            f"{override} is not writable",
            "run this as root, on the host or in a container with a writable /sys",
        )
    if device.virtual_functions:
        yield Obstacle(
            f"{device.virtual_functions} virtual functions of it are on, and would go away with its driver",
            f"end what uses them and write 0 to {override.with_name('sriov_numvfs')}, or take one of them instead",
        )
    if for_vfio:
        yield from group_obstacles(machine.sysfs, device, taken)
    if len(device.interfaces) > 1:
        yield Obstacle(
            f"it has several interfaces ({', '.join(device.interfaces)}), which cannot all be given back as they are",
            "use a device with one interface",
        )
    elif interface is not None:
        yield from _interface(machine, interface)
    elif device.driver is not None and device.driver not in USER_SPACE_DRIVERS:
        yield Obstacle(
            f"{device.driver} drives it and its interface is not here, perhaps in another network namespace",
            "run this in that namespace, or give --force; its configuration will not be given back",
            can_force=True,
        )


def users(machine: Machine, interface: LinuxInterface) -> list[str]:
    """Return who uses an interface, each in a few words."""
    found = [f"{one} stands on it" for one in upper_interfaces(machine.sysfs, interface.name)]
    found += ["default route"] if _has_default_route(interface) else []
    return found + [one.text for one in _sockets(machine, interface)]


def _sockets(machine: Machine, interface: LinuxInterface) -> list[Socket]:
    return sockets_on(
        interface.name,
        machine.network.index_of(interface.name),
        addresses_of([one.address for one in interface.addresses]),
        proc=machine.proc,
        routes=machine.network.routes,
    )


def _has_default_route(interface: LinuxInterface) -> bool:
    return any(route.is_default for route in interface.routes)


def _interface(machine: Machine, interface: LinuxInterface) -> Iterator[Obstacle]:
    name = interface.name
    for upper in upper_interfaces(machine.sysfs, name):
        yield Obstacle(
            f"{upper} stands on {name} and would lose it for good",
            f"take it apart first: ip link set {name} nomaster, or ip link delete {upper}",
        )
    if _has_default_route(interface):
        yield Obstacle(
            f"{name} carries the default route; without it this machine may be out of reach",
            "take another device, or give --force if you have another way in",
            can_force=True,
        )
    sockets = _sockets(machine, interface)
    if sockets:
        words = [one.text for one in sockets[:_SHOWN]]
        if len(sockets) > _SHOWN:
            words.append(f"and {len(sockets) - _SHOWN} more")
        yield Obstacle(
            f"{name} is in use: {'; '.join(words)}",
            "end these, or give --force",
            can_force=True,
        )
    if interface.lost:
        yield Obstacle(
            f"restore could not set again: {'; '.join(interface.lost)}",
            "write them down and give --force",
            can_force=True,
        )


def group_obstacles(sysfs: Path, device: PciDevice, taken: Collection[str] = ()) -> Iterator[Obstacle]:
    """Yield what of a device's IOMMU group keeps vfio from opening it.

    :param taken: addresses of devices of it that are going to be taken too.
    """
    if device.is_noiommu_group:
        return
    others = [
        one
        for one in group_members(sysfs, device)
        if one.address not in taken and one.driver is not None and one.driver not in _HARMLESS_IN_GROUP
    ]
    if not others:
        return
    if all(one.is_network for one in others):
        addresses = " ".join(sorted({device.address, *(one.address for one in others)}))
        following = f"take them together: framelane dpdk bind {addresses}; or unbind the others"
    else:
        following = "put the card into another slot, or unbind the others by hand"
    words = ", ".join(f"{one.label} by {one.driver}" for one in others)
    yield Obstacle(f"others of its IOMMU group {device.iommu_group} are driven by Linux: {words}", following)
