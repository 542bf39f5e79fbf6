"""Taking devices from Linux and giving them back: which writes are made, in which order, and when none is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framelane_dpdk import linux_interface, saved_state
from framelane_dpdk.binding import Plan, carry_out, plan_bind, plan_restore, plan_unbind
from framelane_dpdk.linux_interface import LinuxRoute
from framelane_dpdk.pci import BindingError, PciDevice
from support.made_up_machine import MadeUpMachine

NIC = "0000:03:00.0"
OTHER = "0000:03:00.1"
DEVICE = f"bus/pci/devices/{NIC}"
DEFAULT_ROUTE = LinuxRoute("0.0.0.0/0", gateway="10.1.0.1")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpMachine:
    monkeypatch.setenv(saved_state.STATE_DIRECTORY_VARIABLE, str(tmp_path / "state"))
    return MadeUpMachine(tmp_path)


@pytest.fixture
def nic(computer: MadeUpMachine) -> PciDevice:
    return computer.add(NIC, "e1000e", "eth2")


def texts(computer: MadeUpMachine, plan: Plan) -> list[str]:
    return [text.replace(f"{computer.sysfs}/", "") for text in plan.texts]


def bind(computer: MadeUpMachine, *devices: PciDevice, force: bool = False) -> None:
    carry_out(computer.machine, plan_bind(computer.machine, devices, force=force), report=computer.react)


def test_a_plan_writes_nothing_and_names_every_write(computer: MadeUpMachine, nic: PciDevice) -> None:
    assert texts(computer, plan_bind(computer.machine, [nic])) == [
        f"keep addresses, routes and MTU of eth2 in {saved_state.state_directory()}",
        f"write vfio-pci to {DEVICE}/driver_override",
        f"write {NIC} to {DEVICE}/driver/unbind",
        f"write {NIC} to bus/pci/drivers/vfio-pci/bind",
        f"check that the driver of {NIC} is vfio-pci",
    ]
    assert computer.device(NIC) == nic
    assert not saved_state.state_directory().exists()


def test_modules_that_are_absent_are_loaded_first(computer: MadeUpMachine, nic: PciDevice) -> None:
    for name in ("bind", "unbind"):
        (computer.sysfs / "bus/pci/drivers/vfio-pci" / name).unlink()
    (computer.sysfs / "bus/pci/drivers/vfio-pci").rmdir()
    (computer.sysfs / "module/vfio_iommu_type1/refcnt").unlink()
    (computer.sysfs / "module/vfio_iommu_type1").rmdir()
    first, second, *_ = texts(computer, plan_bind(computer.machine, [nic]))
    assert (first, second) == ("modprobe vfio-pci", "modprobe vfio_iommu_type1")


def test_a_bound_device_is_given_back_with_what_its_interface_had(computer: MadeUpMachine, nic: PciDevice) -> None:
    before = computer.network.interfaces["eth2"]
    bind(computer, nic)
    taken = computer.device(NIC)
    assert taken.driver == "vfio-pci"
    summary = saved_state.load(NIC)
    assert summary is not None
    assert (summary.interface, summary.addresses, summary.mtu) == ("eth2", ("10.1.0.5/24",), 9000)

    plan = plan_restore(computer.machine, [taken])
    assert texts(computer, plan)[:5] == [
        f"write {NIC} to bus/pci/drivers/vfio-pci/unbind",
        f"write a NUL byte to {DEVICE}/driver_override",
        f"write {NIC} to bus/pci/drivers/e1000e/bind",
        f"check that the driver of {NIC} is e1000e",
        f"wait for the interface of {NIC}",
    ]
    carry_out(computer.machine, plan, report=computer.react)
    assert computer.device(NIC).driver == "e1000e"
    assert computer.text(f"{DEVICE}/driver_override") == "\0"
    assert computer.network.configured == [before]
    assert saved_state.load(NIC) is None
    assert linux_interface.load(NIC) is None


def test_a_failed_step_takes_back_those_before_it(computer: MadeUpMachine, nic: PciDevice) -> None:
    (computer.sysfs / "bus/pci/drivers/vfio-pci/bind").unlink()
    with pytest.raises(BindingError, match="step 4 of 5 failed, what was done before was undone"):
        bind(computer, nic)
    assert computer.text("bus/pci/drivers/e1000e/bind") == NIC
    assert computer.text(f"{DEVICE}/driver_override") == "\0"
    assert computer.network.configured == [computer.network.interfaces["eth2"]]
    assert saved_state.load(NIC) is None


def test_what_cannot_be_taken_back_is_named_and_stays_kept(computer: MadeUpMachine, nic: PciDevice) -> None:
    (computer.sysfs / "bus/pci/drivers/vfio-pci/bind").unlink()
    computer.network.problems = ["add address 10.1.0.5/24 to eth2: no"]
    with pytest.raises(BindingError, match=r"left   write .*/unbind: interface eth2[^!]*: no\n  next   .* restore"):
        bind(computer, nic)
    assert linux_interface.load(NIC) == computer.network.interfaces["eth2"]
    assert saved_state.load(NIC) is not None


def test_the_default_route_and_sockets_are_refused_together_and_forced_with_warnings(
    computer: MadeUpMachine, nic: PciDevice
) -> None:
    interface = computer.network.interfaces["eth2"]
    computer.network.interfaces["eth2"] = replace(interface, routes=(DEFAULT_ROUTE,))
    computer.add_socket("tcp", "0500010A:0016", "09000C0A:C001", "01", inode=41)
    computer.hold("socket:[41]", 812, "sshd")
    with pytest.raises(BindingError) as refused:
        bind(computer, nic)
    assert "eth2 carries the default route" in str(refused.value)
    assert "tcp 10.1.0.5:22 connected to 10.12.0.9:49153, sshd (pid 812)" in str(refused.value)
    assert computer.device(NIC) == nic
    plan = plan_bind(computer.machine, [nic], force=True)
    assert ["default route" in plan.warnings[0], "sshd" in plan.warnings[1]] == [True, True]


@pytest.mark.parametrize(
    ("local", "remote", "state", "is_in_use"),
    [
        ("00000000:0016", "00000000:0000", "0A", False),  # listens on every address
        ("0500010A:0016", "00000000:0000", "0A", True),  # listens on the interface's
        ("0500010A:0016", "09000C0A:C001", "06", False),  # TIME_WAIT
        ("06000C0A:0016", "09000C0A:C001", "01", True),  # another address, but its peer is behind the interface
        ("06000C0A:0016", "08000C0A:C001", "01", False),
    ],
)
def test_only_sockets_that_lose_their_network_are_in_the_way(
    computer: MadeUpMachine, nic: PciDevice, local: str, remote: str, state: str, is_in_use: bool
) -> None:
    computer.network.routes.through["10.12.0.9"] = "eth2"
    computer.add_socket("tcp", local, remote, state)
    if is_in_use:
        with pytest.raises(BindingError, match="eth2 is in use"):
            plan_bind(computer.machine, [nic])
    else:
        plan_bind(computer.machine, [nic])


def test_an_iommu_group_is_taken_whole(computer: MadeUpMachine, nic: PciDevice) -> None:
    other = computer.add(OTHER, "e1000e", "eth3")
    computer.add("0000:02:00.0", "pcieport", pci_class=0x060400)
    with pytest.raises(BindingError, match=f"framelane dpdk bind {NIC} {OTHER}"):
        plan_bind(computer.machine, [nic])
    bind(computer, nic, other)
    assert {computer.device(NIC).driver, computer.device(OTHER).driver} == {"vfio-pci"}


def test_another_kind_of_device_in_the_group_is_refused(computer: MadeUpMachine, nic: PciDevice) -> None:
    computer.add("0000:03:00.7", "nvme", pci_class=0x010802)
    with pytest.raises(BindingError, match=r"0000:03:00.7 by nvme[^!]*another slot"):
        plan_bind(computer.machine, [nic], force=True)


@pytest.mark.parametrize("driver", ["mlx5_core", "mana"])
def test_a_bifurcated_device_needs_no_binding(computer: MadeUpMachine, driver: str) -> None:
    device = computer.add(NIC, driver, "eth2")
    with pytest.raises(BindingError, match=f"{driver} shares the device with DPDK, so it needs no binding"):
        plan_bind(computer.machine, [device], force=True)


def test_without_an_iommu_the_unsafe_mode_is_turned_on_with_a_warning(computer: MadeUpMachine) -> None:
    device = computer.add(NIC, "e1000e", "eth2", group=None)
    parameter = "module/vfio/parameters/enable_unsafe_noiommu_mode"
    with pytest.raises(BindingError, match="CONFIG_VFIO_NOIOMMU"):
        plan_bind(computer.machine, [device])
    (computer.sysfs / parameter).parent.mkdir()
    (computer.sysfs / parameter).write_text("N\n")
    plan = plan_bind(computer.machine, [device])
    assert texts(computer, plan)[0] == f"write 1 to {parameter}"
    assert "ALL MEMORY" in plan.warnings[0]
    (computer.sysfs / "bus/pci/drivers/vfio-pci/bind").unlink()
    with pytest.raises(BindingError):
        carry_out(computer.machine, plan, report=computer.react)
    assert computer.text(parameter) == "0"


def test_interfaces_that_others_stand_on_are_never_taken(computer: MadeUpMachine, nic: PciDevice) -> None:
    (computer.sysfs / "class/net/eth2/upper_bond0").mkdir(parents=True)
    with pytest.raises(BindingError, match="bond0 stands on eth2"):
        plan_bind(computer.machine, [nic], force=True)


def test_a_device_whose_interface_is_elsewhere_needs_force(computer: MadeUpMachine) -> None:
    device = computer.add(NIC, "e1000e")
    with pytest.raises(BindingError, match="another network namespace"):
        plan_bind(computer.machine, [device])
    bind(computer, device, force=True)
    assert computer.device(NIC).driver == "vfio-pci"
    plan = plan_restore(computer.machine, [computer.device(NIC)])
    assert texts(computer, plan)[-1] == f"write {NIC} to bus/pci/drivers_probe"


def test_a_device_taken_after_a_restart_keeps_the_addresses_of_before(computer: MadeUpMachine, nic: PciDevice) -> None:
    configured = replace(computer.network.interfaces["eth2"], boot_id="another run of the kernel")
    linux_interface.save(configured)
    saved_state.save(configured.summary())
    computer.network.interfaces["eth2"] = replace(configured, addresses=(), routes=(), is_up=False)
    bind(computer, nic)
    kept = linux_interface.load(NIC)
    assert kept is not None
    assert kept.addresses == configured.addresses
    summary = saved_state.load(NIC)
    assert summary is not None
    assert summary.addresses == ("10.1.0.5/24",)


def test_binding_again_does_nothing(computer: MadeUpMachine, nic: PciDevice) -> None:
    bind(computer, nic)
    plan = plan_bind(computer.machine, [computer.device(NIC)])
    assert (plan.steps, plan.notes) == ((), (f"{NIC} is bound to vfio-pci already",))


def test_a_device_that_a_program_holds_is_not_given_back(computer: MadeUpMachine, nic: PciDevice) -> None:
    bind(computer, nic)
    computer.hold("/dev/vfio/7", 71, "framelane")
    for plan in (plan_restore, plan_unbind):
        with pytest.raises(BindingError, match=r"in use by framelane \(pid 71\)"):
            plan(computer.machine, [computer.device(NIC)])


def test_an_interface_that_came_back_in_part_is_restored_by_the_next_try(
    computer: MadeUpMachine, nic: PciDevice
) -> None:
    bind(computer, nic)
    computer.network.problems = ["add route 10.2.0.0/16 via 10.1.0.9: no"]
    plan = plan_restore(computer.machine, [computer.device(NIC)])
    with pytest.raises(BindingError, match=r"add route 10\.2\.0\.0/16 via 10\.1\.0\.9: no[^!]*run restore again"):
        carry_out(computer.machine, plan, report=computer.react)
    assert computer.device(NIC).driver == "e1000e"
    computer.network.problems = []
    again = plan_restore(computer.machine, [computer.device(NIC)])
    assert again.steps == ()
    carry_out(computer.machine, again, report=computer.react)
    assert linux_interface.load(NIC) is None


def test_nothing_of_before_a_restart_is_set_on_a_device_that_linux_has(computer: MadeUpMachine, nic: PciDevice) -> None:
    linux_interface.save(replace(computer.network.interfaces["eth2"], boot_id="another run of the kernel"))
    carry_out(computer.machine, plan_restore(computer.machine, [nic]), report=computer.react)
    assert computer.network.configured == []
    assert linux_interface.load(NIC) is None


def test_an_unbound_device_has_no_driver_and_is_given_back(computer: MadeUpMachine, nic: PciDevice) -> None:
    carry_out(computer.machine, plan_unbind(computer.machine, [nic]), report=computer.react)
    assert computer.device(NIC).driver is None
    carry_out(computer.machine, plan_restore(computer.machine, [computer.device(NIC)]), report=computer.react)
    assert computer.device(NIC).driver == "e1000e"
    assert len(computer.network.configured) == 1


def test_a_damaged_state_never_becomes_a_path(computer: MadeUpMachine, nic: PciDevice) -> None:
    bind(computer, nic)
    path = saved_state.state_directory() / f"{NIC}.linux.json"
    path.write_text(path.read_text().replace('"e1000e"', '"../../../tmp"'))
    with pytest.raises(saved_state.SavedStateError, match="is damaged"):
        plan_restore(computer.machine, [computer.device(NIC)])
