"""Messages between a driver on a card that DPDK took and a sockets driver on a card that Linux has, on one hub."""

from __future__ import annotations

import json

import pytest

from support.processes import wait_until
from support.virtual_machine import VirtualMachine
from vm.conftest import CARDS, FRAMELANE, NEEDS, Card, TwoCards

pytestmark = [*NEEDS, pytest.mark.timeout(600)]

COUNT = 200
FAR = "far"  #: the network namespace of the sockets driver, so that its address is none of the near driver's kernel

NEAR_CONFIGURATION = """
[driver]
dir = "/dev/shm/near"
threading_mode = "SHARED"
term_buffer_sparse_file = true
term_buffer_length = "1m"
mtu_length = 1344  # below that of the interfaces

[transport]
use = ["dpdk"]
require = "dpdk"

[transport.dpdk]
device = "{device}"
"""
FAR_CONFIGURATION = (
    NEAR_CONFIGURATION.partition("[transport]")[0].replace("near", "far") + '[transport]\nuse = ["sockets"]\n'
)


@pytest.mark.parametrize("near", CARDS, ids=lambda card: card.driver)
def test_a_driver_on_a_bound_card_exchanges_messages_with_a_sockets_driver(cards: TwoCards, near: Card) -> None:
    vm = cards.vm
    (far,) = (card for card in CARDS if card is not near)
    before = cards.configuration(near)
    vm.run("sh", "-ec", _move(far, cards.names[far.driver]))
    vm.write("/proc/sys/vm/nr_hugepages", "128")
    cards.framelane("dpdk", "bind", near.pci_address)
    assert not cards.has_interface(near)

    vm.write("/run/near.toml", NEAR_CONFIGURATION.format(device=near.pci_address))
    vm.write("/run/far.toml", FAR_CONFIGURATION)
    # Everything is read for the first time here, which in emulation takes longer than a probe may.
    wait_until(lambda: is_usable(vm), "a verdict that dpdk is usable", 240)
    near_driver = vm.start(FRAMELANE, "driver", "--config", "/run/near.toml")
    vm.wait_for("serves /dev/shm/near", near_driver)
    far_driver = vm.start("ip", "netns", "exec", FAR, FRAMELANE, "driver", "--config", "/run/far.toml")
    vm.wait_for("serves /dev/shm/far", far_driver)

    channels = ("-c", f"aeron:udp?endpoint={far.address}:20123", "-C", f"aeron:udp?endpoint={near.address}:20124")
    pong = vm.start("ip", "netns", "exec", FAR, FRAMELANE, "pong", "--dir", "/dev/shm/far", *channels)
    ping = vm.run(
        FRAMELANE, "ping", "--dir", "/dev/shm/near", *channels,
        "-n", str(COUNT), "-w", "10", "--timeout", "60", "--json", limit_s=150,
    )  # fmt: skip
    assert json.loads(ping.stdout)["count"] == COUNT, vm.read(pong.log)

    vm.interrupt(near_driver)
    vm.wait_for("driver closed", near_driver)
    cards.framelane("dpdk", "restore")
    assert cards.configuration(near) == before


def is_usable(vm: VirtualMachine) -> bool:
    alone = "FRAMELANE_DISABLE_TRANSPORTS=efvi,vma,xdp"
    shown = vm.json("env", alone, FRAMELANE, "transports", "--json", "--config", "/run/near.toml", limit_s=120)
    return any(one["usable"] for one in shown["transports"] if one["name"] == "dpdk")


def _move(card: Card, name: str) -> str:
    return f"""
        ip netns add {FAR}
        ip link set {name} netns {FAR}
        ip -n {FAR} link set lo up
        ip -n {FAR} address add {card.address}/24 dev {name}
        ip -n {FAR} link set {name} up
    """
