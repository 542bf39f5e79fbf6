"""A virtual machine with two network cards on one hub, whose interfaces are configured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.processes import wait_until
from support.virtual_machine import VirtualMachine, booted

FRAMELANE = Path(sys.executable).parent / "framelane"


@dataclass(frozen=True)
class Card:
    """A card and its configuration under Linux."""

    driver: str
    pci_address: str
    mac: str
    address: str
    address6: str
    remote6: str  #: a network behind a gateway


CARDS = (
    Card("e1000e", "0000:00:03.0", "02:00:00:00:00:03", "10.88.0.3", "fd88::3", "fd93::/48"),
    Card("vmxnet3", "0000:00:04.0", "02:00:00:00:00:04", "10.88.0.4", "fd88::4", "fd94::/48"),
)


@dataclass(frozen=True)
class TwoCards:
    """The machine, and the names that its interfaces have."""

    vm: VirtualMachine
    names: dict[str, str]  #: by driver

    def framelane(self, *words: str | Path, status: int | None = 0) -> str:
        """Run the command; returns its output."""
        return self.vm.run(FRAMELANE, *words, status=status, limit_s=120).output

    def configuration(self, card: Card) -> dict[str, object]:
        """Return what Linux tells of a card's interface; volatile and derived parts are left out."""
        name = self.names[card.driver]
        (link,) = self.vm.json("ip", "-json", "address", "show", "dev", name)
        addresses = {(one["local"], one["prefixlen"], one["scope"]) for one in link["addr_info"]}
        routes = [self.vm.json("ip", "-json", family, "route", "show", "dev", name) for family in ("-4", "-6")]
        return {
            "link": (link["ifname"], link["mtu"], link["address"], "UP" in link["flags"]),
            "addresses": addresses,
            "routes": sorted(
                sorted((key, str(value)) for key, value in route.items()) for one in routes for route in one
            ),
        }

    def has_interface(self, card: Card) -> bool:
        return card.mac in self.vm.run("ip", "link").stdout


#: Root is for the bind mount that becomes the machine's root.
NEEDS = [pytest.mark.vm, pytest.mark.root, pytest.mark.programs("qemu-system-x86_64"), pytest.mark.timeout(300)]


@pytest.fixture
def cards(tmp_path: Path) -> Iterator[TwoCards]:
    devices = []
    for card in CARDS:
        slot = card.pci_address.rpartition(":")[2]
        devices += ["-netdev", f"hubport,id={card.driver},hubid=0"]
        devices += ["-device", f"{card.driver},netdev={card.driver},addr={slot},mac={card.mac}"]
    with booted(tmp_path / "vm", devices) as vm:
        names = {}
        for card in CARDS:
            vm.run("modprobe", card.driver)
            names[card.driver] = vm.run("ls", f"/sys/bus/pci/devices/{card.pci_address}/net").stdout.strip()
        for card in CARDS:
            vm.run("sh", "-ec", _configure(card, names[card.driver]))
        ready = 'test $(ip -4 route show | grep -cv linkdown) = 4 && test -z "$(ip -6 address show tentative)"'
        wait_until(lambda: vm.run("sh", "-c", ready, status=None).status == 0, "both links and their addresses", 60)
        yield TwoCards(vm, names)


def _configure(card: Card, name: str) -> str:
    return f"""
        ip link set {name} mtu 1400
        ip address add {card.address}/24 broadcast + dev {name}
        ip address add {card.address6}/64 nodad dev {name}
        ip link set {name} up
        ip route add 10.{card.mac[-2:]}.0.0/16 via 10.88.0.1 dev {name} metric 7 mtu 1300
        ip -6 route add {card.remote6} via fd88::1 dev {name} src {card.address6}
    """
