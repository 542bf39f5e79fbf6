"""Taking a card from Linux and giving it back, by the kernel's own account."""

from __future__ import annotations

import json
from typing import Any

from vm.conftest import CARDS, NEEDS, Card, TwoCards

pytestmark = NEEDS

E1000E, VMXNET3 = CARDS


def listed(cards: TwoCards, card: Card) -> dict[str, Any]:
    devices = json.loads(cards.framelane("dpdk", "list", "--json"))["devices"]
    return next(one for one in devices if one["address"] == card.pci_address)


def test_a_card_that_was_bound_serves_dpdk_and_is_restored_as_it_was(cards: TwoCards) -> None:
    vm, name = cards.vm, cards.names[E1000E.driver]
    before = cards.configuration(E1000E)
    assert (E1000E.address, 24, "global") in before["addresses"]

    cards.framelane("dpdk", "hugepages", "128")
    cards.framelane("dpdk", "bind", name)
    assert not cards.has_interface(E1000E)
    assert cards.has_interface(VMXNET3)

    # DPDK's own program answers pings through the card, so that it is known to work.
    testpmd = vm.start(
        "dpdk-testpmd", "-l", "0,1", "-a", E1000E.pci_address, "--in-memory", "--no-telemetry", "--",
        "--forward-mode=icmpecho", "--auto-start", "--stats-period=60", "--total-num-mbufs=2048",
    )  # fmt: skip
    vm.wait_for("Port 0: link state change event", testpmd)
    vm.run("ping", "-c", "3", "-i", "0.2", "-W", "10", E1000E.address)
    entry = listed(cards, E1000E)
    assert (entry["driver"], entry["interfaces"], entry["kept"]["interface"]) == ("vfio-pci", [], name)
    holder = f"dpdk-testpmd (pid {testpmd.pid})"
    assert entry["used_by"] == [holder]
    refused = cards.framelane("dpdk", "restore", name, status=1)
    assert holder in refused

    vm.interrupt(testpmd)
    vm.wait_for("Bye", testpmd)
    cards.framelane("dpdk", "restore")
    assert cards.configuration(E1000E) == before
    assert vm.read(f"/sys/bus/pci/devices/{E1000E.pci_address}/driver_override") == "(null)\n"


def test_refusals_and_failures_leave_the_card_as_it_is(cards: TwoCards) -> None:
    vm, name = cards.vm, cards.names[VMXNET3.driver]
    before = cards.configuration(VMXNET3)
    listener = vm.start(
        "python3",
        "-c",
        f"import socket; s = socket.create_server(('{VMXNET3.address}', 5000)); "
        "print('listens', flush=True); s.accept()",
    )
    vm.wait_for("listens", listener)
    vm.run("ip", "route", "add", "default", "via", "10.88.0.1", "dev", name)
    refused = cards.framelane("dpdk", "bind", VMXNET3.pci_address, status=1)
    assert f"{name} carries the default route" in refused
    assert f"tcp {VMXNET3.address}:5000, python3 (pid " in refused
    vm.run("ip", "route", "delete", "default")

    # A kernel that does not let vfio-pci have the device: its directory is hidden, so that the last write fails.
    vm.run("modprobe", "vfio-pci")
    vm.run("sh", "-ec", "mkdir /run/empty && mount --bind /run/empty /sys/bus/pci/drivers/vfio-pci")
    failed = cards.framelane("dpdk", "bind", VMXNET3.pci_address, "--force", status=1)
    assert "what was done before was undone" in failed
    assert cards.configuration(VMXNET3) == before
    assert vm.run("ls", "/var/lib/framelane/dpdk").stdout == ""
