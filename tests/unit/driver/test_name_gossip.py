"""Names that drivers tell each other, in bytes under a virtual clock (wire 2.12, 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from framelane.channel import ChannelError, ErrorCode
from framelane.channel.addresses import Address
from framelane.driver.name_gossip import GossipSettings, NameGossip
from framelane.driver.resources import Inline
from framelane.errors import ConfigError
from framelane.protocol.frames import NakFrame, ResEntry, ResFrame, decode_datagram
from framelane.shm.system_counters import SystemCounter

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 100 * SECOND

    def nano(self) -> int:
        return self.now_ns


class Counters:
    """As many as are allocated, with labels and values."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.values: dict[int, int] = {}
        self.invalid = 0

    def allocate(self, type_id, key, label) -> int:
        self.labels.append(label)
        return len(self.labels) - 1

    def update_label(self, counter_id, label) -> None:
        self.labels[counter_id] = label

    def set(self, counter_id, value) -> None:
        self.values[counter_id] = value

    def count(self, counter) -> None:
        assert counter is SystemCounter.INVALID_PACKETS
        self.invalid += 1


class Unknown:
    def resolve(self, host, parameter):
        raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")


@dataclass
class Wire:
    """Sockets that reach each other by address."""

    sockets: dict[Address, Socket] = field(default_factory=dict)

    def open(self, bind: Address) -> Socket:
        self.sockets[bind] = Socket(self, bind)
        return self.sockets[bind]


class Socket:
    def __init__(self, wire: Wire, local: Address) -> None:
        self.wire, self.local = wire, local
        self.waiting: list[tuple[bytes, Address]] = []
        self.sent: list[tuple[bytes, Address]] = []

    def send(self, datagram: bytes, to: Address) -> None:
        self.sent.append((datagram, to))
        if to in self.wire.sockets:
            self.wire.sockets[to].waiting.append((datagram, self.local))

    def receive(self) -> tuple[bytes, Address] | None:
        return self.waiting.pop(0) if self.waiting else None

    def close(self) -> None:
        del self.wire.sockets[self.local]


class World:
    def __init__(self) -> None:
        self.clock, self.wire, self.drivers = Clock(), Wire(), []

    def driver(self, name: str, interface: str, bootstrap: str = "", **settings: int) -> NameGossip:
        chosen = GossipSettings(name, interface, bootstrap, **settings)
        counters = Counters()
        driver = NameGossip(chosen, Unknown(), counters, self.clock, Inline(), self.wire.open)
        driver.counters = counters
        self.drivers.append(driver)
        return driver

    def run(self, duration_ns: int) -> None:
        for _ in range(duration_ns // 10_000_000):
            self.clock.now_ns += 10_000_000
            for driver in self.drivers:
                driver.service()


@pytest.fixture
def world() -> World:
    return World()


def address_of(driver: NameGossip, name: str) -> str:
    try:
        return str(driver.resolve(name, "endpoint"))
    except ChannelError as error:
        assert error.code == ErrorCode.UNKNOWN_HOST
        return "unknown"


def entry(name: bytes, address: str, port: int = 8050, *, age_ms: int = 0, flags: int = 0) -> bytes:
    return ResFrame(0, (ResEntry(flags, port, age_ms, ip_address(address), name),)).encode()


def test_drivers_learn_of_each_other_through_one_that_all_know(world):
    hub = world.driver("hub", "10.0.0.1:8050")
    left = world.driver("left", "10.0.0.2:8050", "10.0.0.1:8050")
    right = world.driver("right", "10.0.0.3:8050", "10.0.0.1:8050")
    world.run(4 * SECOND)
    assert [address_of(left, name) for name in ("hub", "left", "right")] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert [address_of(right, name) for name in ("hub", "left")] == ["10.0.0.1", "10.0.0.2"]
    assert address_of(hub, "nobody") == "unknown"
    assert left.counters.values[0] == 2  # neighbours
    assert left.counters.values[1] == 2  # names
    assert left.counters.labels == [
        "Resolver neighbors: bound 10.0.0.2:8050",
        "Resolver cache entries: name=left",
        "Bootstrap neighbor: name=10.0.0.1:8050 resolved=10.0.0.1:8050",
    ]


def test_a_driver_that_is_silent_is_forgotten_also_by_those_who_only_heard_of_it(world):
    world.driver("hub", "10.0.0.1:8050")
    left = world.driver("left", "10.0.0.2:8050", "10.0.0.1:8050")
    right = world.driver("right", "10.0.0.3:8050", "10.0.0.1:8050")
    world.run(4 * SECOND)
    world.drivers.remove(right)
    right.close()
    world.run(9 * SECOND)
    assert address_of(left, "right") == "10.0.0.3"
    world.run(2 * SECOND)
    assert address_of(left, "right") == "unknown"
    assert left.counters.values == {0: 1, 1: 1}


def test_the_own_name_is_told_at_once_and_every_second_and_the_others_every_two(world):
    world.driver("hub", "10.0.0.1:8050")
    left = world.driver("left", "10.0.0.2:8050", "10.0.0.1:8050")
    world.run(SECOND // 50)
    sent = left._socket.sent
    assert {datagram for datagram, _ in sent} == {entry(b"left", "10.0.0.2", flags=0x80)}
    sent.clear()
    world.run(4 * SECOND)
    own = [1 for datagram, _ in sent if decode_datagram(datagram)[0].entries[0].res_flags]
    assert len(own) == 4
    others = [decode_datagram(datagram)[0].entries[0] for datagram, _ in sent][1:]
    ages = [one.age_in_ms for one in others if not one.res_flags]
    assert len(ages) == 2
    assert all(0 <= age < 1000 for age in ages)


def test_a_wildcard_address_means_where_the_datagram_came_from(world):
    driver = world.driver("me", "10.0.0.1:8050")
    source = Address(ip_address("10.0.0.9"), 9000)
    driver._socket.waiting.append((entry(b"other", "0.0.0.0", 0, flags=0x80), source))
    world.run(SECOND // 50)
    assert address_of(driver, "other") == "10.0.0.9"
    driver._socket.waiting.append((entry(b"hearsay", "0.0.0.0"), source))
    world.run(SECOND // 50)
    assert address_of(driver, "hearsay") == "unknown"


def test_what_is_older_does_not_replace_what_is_known_and_what_is_too_old_is_not_taken(world):
    driver = world.driver("me", "10.0.0.1:8050")
    source = Address(ip_address("10.0.0.9"), 8050)
    for name, address, age_ms in ((b"a", "10.0.0.5", 100), (b"a", "10.0.0.6", 5000), (b"b", "10.0.0.7", 10_000)):
        driver._socket.waiting.append((entry(name, address, age_ms=age_ms), source))
    world.run(SECOND // 50)
    assert (address_of(driver, "a"), address_of(driver, "b")) == ("10.0.0.5", "unknown")
    driver._socket.waiting.append((entry(b"a", "10.0.0.8", flags=0x80), source))
    driver._socket.waiting.append((entry(b"a", "2001:db8::1"), source))
    world.run(SECOND // 50)
    assert address_of(driver, "a") == "10.0.0.8"


def test_names_off_the_wire_are_bounded_and_nonsense_changes_nothing(world):
    driver = world.driver("me", "10.0.0.1:8050")
    source = Address(ip_address("10.0.0.9"), 8050)
    for number in range(3000):
        name = b"n%d" % number
        driver._socket.waiting.append((entry(name, f"10.1.{number // 250}.{number % 250 + 1}", flags=0x80), source))
    whole = entry(b"cut", "10.0.0.9")
    driver._socket.waiting += [(whole[:length], source) for length in range(len(whole) - 7)]
    nonsense = [b"\xff" * 100, NakFrame(0, 1, 2, 3, 0, 64).encode()]
    driver._socket.waiting += [(datagram, source) for datagram in nonsense]
    invalid = len(nonsense) + len(whole) - 8  # a header alone is a frame without entries
    world.run(2 * SECOND)
    assert not driver._socket.waiting
    assert driver.counters.values == {0: 256, 1: 1024}
    assert driver.counters.invalid == invalid
    assert address_of(driver, "cut") == "unknown"


def test_many_names_go_out_in_frames_of_at_most_an_mtu(world):
    driver = world.driver("me", "10.0.0.1:8050", mtu_length=1408)
    source = Address(ip_address("10.0.0.9"), 8050)
    names = {b"name-%04d" % number for number in range(200)}
    driver._socket.waiting += [(entry(name, "10.0.0.9"), source) for name in names]
    world.run(3 * SECOND)
    told = [datagram for datagram, to in driver._socket.sent if to == source]
    assert max(map(len, told)) <= 1408
    entries = [one for datagram in told for one in decode_datagram(datagram)[0].entries]
    assert {one.name for one in entries if not one.res_flags} == names


def test_a_flood_of_names_keeps_no_cycle_longer_than_its_share(world):
    driver = world.driver("me", "10.0.0.1:8050")
    source = Address(ip_address("10.0.0.9"), 8050)
    many = ResFrame(0, tuple(ResEntry(0, 8050, 0, ip_address("10.0.0.9"), b"n%d" % n) for n in range(2000))).encode()
    driver._socket.waiting += [(many, source)] * 10
    world.run(10_000_000)
    assert len(driver._socket.waiting) == 9


def test_full_tables_are_told_to_everybody_a_part_in_each_cycle(world):
    driver = world.driver("me", "10.0.0.1:8050", neighbour_interval_ns=20_000_000)
    sources = [Address(ip_address(f"10.1.0.{number}"), 8050) for number in range(1, 201)]
    names = {b"%0500d" % number for number in range(20)}
    driver._socket.waiting += [(entry(name, "10.1.0.1", flags=0x80), sources[0]) for name in names]
    driver._socket.waiting += [(entry(b"n", str(source.ip), flags=0x80), source) for source in sources]
    world.run(SECOND // 20)
    told: dict[Address, set[bytes]] = {}
    for _ in range(20):
        driver._socket.sent.clear()
        world.run(10_000_000)
        assert len(driver._socket.sent) <= 256
        for datagram, to in driver._socket.sent:
            told.setdefault(to, set()).update(one.name for one in decode_datagram(datagram)[0].entries)
    assert set(told) == set(sources)
    assert all(names <= one for one in told.values())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("n" * 513, "10.0.0.1:1"), "driver_resolver_name has 513 bytes"),
        (("me", "10.0.0.1:1", ",".join(["10.0.0.2:1"] * 21)), "more than 20"),
    ],
)
def test_settings_that_cannot_be_are_refused(world, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        world.driver(*settings)
