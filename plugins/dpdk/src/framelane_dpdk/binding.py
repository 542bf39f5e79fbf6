"""Takes network devices from Linux and gives them back, by the steps of bypass 2.3.

A plan is made first, from what is there and without a write; then it is printed or carried out. Before a device is
taken its interface's configuration is kept (:mod:`framelane_dpdk.linux_interface`); giving it back sets that again.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from framelane_dpdk import linux_interface, saved_state
from framelane_dpdk.checks import captured, obstacles
from framelane_dpdk.in_use import device_holders
from framelane_dpdk.linux_interface import LinuxInterface
from framelane_dpdk.machine import Machine
from framelane_dpdk.pci import USER_SPACE_DRIVERS, BindingError, PciDevice, is_driver_name, read_device
from framelane_dpdk.steps import EMPTY, Action, LoadModule, Step, Write, execute, no_undo

__all__ = ["VFIO_DRIVER", "Plan", "carry_out", "plan_bind", "plan_restore", "plan_unbind"]

VFIO_DRIVER = "vfio-pci"
_IOMMU_MODULE = "vfio_iommu_type1"
#: Longest that an interface is waited for after its driver took the device.
_INTERFACE_LIMIT_S = 10.0

_NO_IOMMU = (
    "NO IOMMU protects this machine: with {address} in no-IOMMU mode, the program that has the device can read and "
    "write ALL MEMORY of the machine through it, and Linux marks itself as tainted. Turn the IOMMU on if there is one "
    "(firmware settings, then intel_iommu=on or amd_iommu=on)"
)
_NO_NOIOMMU_MODE = (
    "there is no IOMMU, and this kernel was built without CONFIG_VFIO_NOIOMMU; turn the IOMMU on (firmware settings, "
    "then the kernel parameter intel_iommu=on or amd_iommu=on), or run a kernel with that option"
)


@dataclass(frozen=True)
class Plan:
    """What will be done.

    :ivar steps: made in order; if one fails, those before it are taken back.
    :ivar interfaces: given their configuration after that. One that cannot be set stays kept, for another try.
    :ivar warnings: to be shown before.
    :ivar notes: what needs nothing done, and why.
    """

    steps: tuple[Step, ...] = ()
    interfaces: tuple[LinuxInterface, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> Iterator[str]:
        """Every step in words."""
        yield from (step.text for step in self.steps)
        for interface in self.interfaces:
            yield f"wait for the interface of {interface.pci_address}"
            yield from linux_interface.describe(interface)


@dataclass
class _Draft:
    steps: list[Step] = field(default_factory=list)
    interfaces: list[LinuxInterface] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), tuple(self.interfaces), tuple(self.warnings), tuple(self.notes))


def plan_bind(machine: Machine, devices: Sequence[PciDevice], *, force: bool = False) -> Plan:
    """Return how devices are given to vfio-pci, all or none.

    :raises BindingError: names every obstacle of every device that ``force`` does not overcome.
    """
    draft = _Draft()
    taken = [device for device in devices if device.driver != VFIO_DRIVER]
    draft.notes += [f"{one.address} is bound to {VFIO_DRIVER} already" for one in devices if one not in taken]
    interfaces = _examine(machine, draft, taken, force=force, for_vfio=True)
    if taken:
        _prepare_vfio(machine, draft, taken)
    for device, interface in zip(taken, interfaces, strict=True):
        _keep(draft, device, interface)
        draft.steps.append(_set_override(machine, device, VFIO_DRIVER))
        if device.driver is not None:
            draft.steps.append(_take_from_driver(machine, device, interface))
        draft.steps += [_bind(machine, device, VFIO_DRIVER), _check_driver(machine, device, VFIO_DRIVER)]
    return draft.plan()


def plan_unbind(machine: Machine, devices: Sequence[PciDevice], *, force: bool = False) -> Plan:
    """Return how devices are taken from whatever drives them and left without a driver.

    :raises BindingError: as :func:`plan_bind`.
    """
    draft = _Draft()
    taken = [device for device in devices if device.driver is not None]
    draft.notes += [f"{one.address} has no driver" for one in devices if one not in taken]
    _refuse_held(machine, taken)
    interfaces = _examine(machine, draft, taken, force=force, for_vfio=False)
    for device, interface in zip(taken, interfaces, strict=True):
        _keep(draft, device, interface)
        if device.driver_override is not None:
            draft.steps.append(_set_override(machine, device, EMPTY))
        draft.steps += [_take_from_driver(machine, device, interface), _check_driver(machine, device, None)]
    return draft.plan()


def plan_restore(machine: Machine, devices: Sequence[PciDevice]) -> Plan:
    """Return how devices are given back to Linux, with what was kept of their interfaces.

    :raises BindingError: if a program holds one of them, or what was kept is damaged.
    """
    draft = _Draft()
    _refuse_held(machine, devices)
    for device in devices:
        saved = linux_interface.load(device.address)
        if device.driver is None or device.driver in USER_SPACE_DRIVERS:
            _give_back(machine, draft, device, saved)
        elif saved is None:
            draft.notes.append(f"{device.label} is driven by {device.driver}, and nothing of it is kept")
        elif saved.boot_id != machine.boot_id:
            draft.notes.append(f"{device.label} is driven by {device.driver} since the machine was started anew")
            draft.steps.append(Action(f"forget what was kept of {device.address}", _forgetting(device.address)))
        else:  # an earlier restore stopped half way
            draft.interfaces.append(saved)
    return draft.plan()


def carry_out(machine: Machine, plan: Plan, *, report: Callable[[str], None]) -> None:
    """Do what a plan says.

    :param report: called with each step that was made, in words.
    :raises BindingError: if a step failed; or if an interface came back and could not be configured whole.
    """
    execute(plan.steps, report)
    problems = []
    for saved in plan.interfaces:
        try:
            _configure(machine, saved, report)
            _forgetting(saved.pci_address)()
        except BindingError as error:
            problems.append(str(error))
    if problems:
        raise BindingError("\n".join([*problems, "  next   correct that and run restore again; the rest is kept"]))


def _examine(
    machine: Machine, draft: _Draft, devices: Sequence[PciDevice], *, force: bool, for_vfio: bool
) -> list[LinuxInterface | None]:
    interfaces, lines = [], []
    addresses = {device.address for device in devices}
    for device in devices:
        interface = None if device.is_bifurcated else captured(machine, device)
        interfaces.append(interface)
        for one in obstacles(machine, device, interface, taken=addresses, for_vfio=for_vfio):
            if one.can_force and force:
                draft.warnings.append(f"{device.label}: {one.found}; taken all the same, as --force says")
            else:
                lines.append(f"device {device.label} stays with Linux:\n  found  {one.found}\n  next   {one.next}")
    if lines:
        raise BindingError("\n".join(lines))
    return interfaces


def _refuse_held(machine: Machine, devices: Sequence[PciDevice]) -> None:
    """Refuse what a program has open: the kernel would wait in the write until the program ends."""
    for device in devices:
        if device.driver == VFIO_DRIVER and device.iommu_group is not None:
            holders = device_holders(machine.sysfs, machine.proc, device.address, device.iommu_group)
            if holders:
                raise BindingError(
                    f"device {device.address} cannot be given back yet:\n"
                    f"  found  it is in use by {', '.join(holders)}\n  next   stop that first"
                )


def _prepare_vfio(machine: Machine, draft: _Draft, devices: Sequence[PciDevice]) -> None:
    if not (machine.sysfs / "bus/pci/drivers" / VFIO_DRIVER).is_dir():
        draft.steps.append(LoadModule(VFIO_DRIVER))
    if not (machine.sysfs / "module" / _IOMMU_MODULE).is_dir():
        draft.steps.append(LoadModule(_IOMMU_MODULE))
    unprotected = [device for device in devices if device.iommu_group is None or device.is_noiommu_group]
    if not unprotected:
        return
    parameter = machine.sysfs / "module/vfio/parameters/enable_unsafe_noiommu_mode"
    draft.warnings += [_NO_IOMMU.format(address=device.label) for device in unprotected]
    if parameter.exists() and parameter.read_text().strip() == "Y":
        return
    if (machine.sysfs / "module/vfio").is_dir() and not parameter.exists():
        raise BindingError(f"device {unprotected[0].label} stays with Linux: {_NO_NOIOMMU_MODE}")
    off = Write(parameter, "0")
    draft.steps.append(Write(parameter, "1", taken_back_by=(off,), if_absent=_NO_NOIOMMU_MODE))


def _keep(draft: _Draft, device: PciDevice, interface: LinuxInterface | None) -> None:
    """Add the step that keeps a configuration. One without addresses never replaces one with some: after a restart, a
    device may be taken before anybody configured it."""
    if interface is None:
        return
    earlier, earlier_summary = linux_interface.load(device.address), saved_state.load(device.address)
    if not interface.is_configured and earlier is not None and earlier.is_configured:
        draft.notes.append(
            f"{interface.name} has no address now, so what was kept of it earlier stays: "
            f"{', '.join(one.address for one in earlier.addresses)}"
        )
        interface = replace(earlier, boot_id=interface.boot_id)
    kept = interface

    def keep() -> None:
        linux_interface.save(kept)
        saved_state.save(kept.summary())

    def put_back() -> None:
        _forgetting(device.address)()
        if earlier is not None:
            linux_interface.save(earlier)
        if earlier_summary is not None:
            saved_state.save(earlier_summary)

    text = f"keep addresses, routes and MTU of {interface.name} in {saved_state.state_directory()}"
    draft.steps.append(Action(text, keep, put_back, stays_after_trouble=True))


def _give_back(machine: Machine, draft: _Draft, device: PciDevice, saved: LinuxInterface | None) -> None:
    if device.driver is not None:
        again = (_set_override(machine, device, device.driver), _bind(machine, device, device.driver))
        draft.steps.append(Write(_drivers(machine) / device.driver / "unbind", device.address, taken_back_by=again))
    draft.steps.append(_set_override(machine, device, EMPTY))
    if saved is None:
        probe = machine.sysfs / "bus/pci/drivers_probe"
        taken_back_by = (Write(_device(machine, device) / "driver/unbind", device.address),)
        draft.steps.append(Write(probe, device.address, taken_back_by=taken_back_by))
        draft.notes.append(f"nothing of {device.address} is kept: Linux chooses the driver, and it gets no addresses")
        return
    if not (_drivers(machine) / saved.driver).is_dir():
        draft.steps.append(LoadModule(saved.driver))
    draft.steps += [_bind(machine, device, saved.driver), _check_driver(machine, device, saved.driver)]
    draft.interfaces.append(saved)


def _set_override(machine: Machine, device: PciDevice, driver: str) -> Write:
    path = _device(machine, device) / "driver_override"
    return Write(path, driver, taken_back_by=(Write(path, device.driver_override or EMPTY),))


def _take_from_driver(machine: Machine, device: PciDevice, interface: LinuxInterface | None) -> Write:
    """Return the write that takes a device from its driver; taken back, the interface is as it was."""
    path = _device(machine, device)
    assert device.driver is not None
    back: list[Step] = [
        Write(path / "driver_override", device.driver_override or EMPTY),
        _bind(machine, device, device.driver),
    ]
    if interface is not None:
        back.append(
            Action(f"configure {interface.name}", lambda: _configure(machine, interface, lambda _: None), no_undo)
        )
    return Write(path / "driver/unbind", device.address, taken_back_by=tuple(back))


def _bind(machine: Machine, device: PciDevice, driver: str) -> Write:
    if not is_driver_name(driver):
        raise BindingError(f"{driver!r} is no name of a driver")
    directory = _drivers(machine) / driver
    return Write(directory / "bind", device.address, taken_back_by=(Write(directory / "unbind", device.address),))


def _check_driver(machine: Machine, device: PciDevice, driver: str | None) -> Action:
    def check() -> None:
        now = read_device(machine.sysfs, device.address)
        found = now.driver if now is not None else "no such device"
        if found != driver:
            raise BindingError(f"its driver is {found or 'none'}; the kernel's log (dmesg) says why")

    return Action(f"check that the driver of {device.address} is {driver or 'none'}", check)


def _configure(machine: Machine, saved: LinuxInterface, report: Callable[[str], None]) -> None:
    name = _await_interface(machine, saved.pci_address)
    problems = machine.network.configure(saved, name, report=report)
    if problems:
        lines = "\n".join(f"  found  {problem}" for problem in problems)
        raise BindingError(f"interface {saved.name} of {saved.pci_address} is not whole again:\n{lines}")


def _await_interface(machine: Machine, address: str) -> str:
    """Return the name of the interface, once the driver made it and udev named it."""
    deadline = time.monotonic() + _INTERFACE_LIMIT_S
    while time.monotonic() < deadline:
        device = read_device(machine.sysfs, address)
        if device is not None and device.interfaces:
            if Path("/run/udev/control").exists() and shutil.which("udevadm"):
                limit = int(_INTERFACE_LIMIT_S)
                subprocess.run(["udevadm", "settle", f"--timeout={limit}"], check=False, timeout=limit + 5)
                device = read_device(machine.sysfs, address) or device
            return (device.interfaces or ("",))[0]
        time.sleep(0.02)
    raise BindingError(f"device {address}: its driver made no interface within {_INTERFACE_LIMIT_S:g} s; see dmesg")


def _forgetting(address: str) -> Callable[[], None]:
    def forget() -> None:
        saved_state.forget(address)
        linux_interface.forget(address)

    return forget


def _device(machine: Machine, device: PciDevice) -> Path:
    return machine.sysfs / "bus/pci/devices" / device.address


def _drivers(machine: Machine) -> Path:
    return machine.sysfs / "bus/pci/drivers"
