"""Whole drivers over Ethernet: each on a netstack of its own, over memory ports that are each other's far end."""

from __future__ import annotations

import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from framelane._native import lib
from framelane.driver.verdicts import read_verdicts
from framelane.shm.counter_types import CounterType
from framelane.testing.memory_port import Faults, MemoryPort
from framelane.transport.port_settings import PortSettings
from framelane.transport.wrappers import FaultDirection
from support.memory_ports import connected_ports, open_memory_port
from support.raw_client import CommandFailed
from support.simulation import Host, Simulation
from support.streams import Messages
from support.transfer import Transfer

LEFT = ("10.0.0.1/24", "fd00::1/64")
RIGHT = ("10.0.0.2/24", "fd00::2/64")
CHANNELS = {
    "IPv4": "aeron:udp?endpoint=10.0.0.2:40123",
    "IPv6": "aeron:udp?endpoint=[fd00::2]:40123",
    "IPv4 multicast": "aeron:udp?endpoint=224.20.30.39:40456|interface=10.0.0.0/24",
    "IPv6 multicast": "aeron:udp?endpoint=[ff05::3039]:40456|interface=[fd00::]/64",
}


def own(*addresses: str, **settings: object) -> PortSettings:
    return PortSettings.model_validate({"neighbours": "own", "addresses": addresses, **settings})


def two_hosts(sim: Simulation, **settings: object) -> tuple[Host, Host]:
    left, right = connected_ports([own(*LEFT, **settings), own(*RIGHT, **settings)], sim.clock.native, sim.seed)
    return sim.add_host_on(left, LEFT), sim.add_host_on(right, RIGHT)


def stream(sim: Simulation, left: Host, right: Host, channel: str, length: int) -> None:
    """Send messages from left to right and compare the bytes."""
    reader = right.add_client().add_subscription(channel)
    publication = left.add_client().add_publication(channel)
    sim.run_until(lambda: publication.is_connected and reader.images, "image")
    moving = Transfer(publication, Messages(sim.seed, length), [reader])
    sim.run_until(moving.pump, "transfer")
    moving.check()


def figures(host: Host) -> dict[str, int]:
    return {c.label: c.value for c in host.counters if c.type_id == CounterType.TRANSPORT_FIGURE}


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)
def test_a_stream_arrives_over_ethernet(sim: Simulation, channel: str) -> None:
    left, right = two_hosts(sim)
    stream(sim, left, right, channel, 400_000)
    assert left.errors() == right.errors() == []


@pytest.mark.parametrize("settings", [{"vlan": 7}, {"udp_checksum": False}], ids=["VLAN", "without UDP checksum"])
def test_a_stream_arrives_as_the_port_is_set(sim: Simulation, settings: dict[str, object]) -> None:
    left, right = two_hosts(sim, **settings)
    stream(sim, left, right, CHANNELS["IPv4"], 200_000)


def test_a_stream_arrives_whole_in_spite_of_loss(sim: Simulation) -> None:
    left, right = two_hosts(sim)
    for host in (left, right):
        host.faults.configure(receive=FaultDirection(loss=0.02, reorder=0.02))
    stream(sim, left, right, CHANNELS["IPv4"], 400_000)


def test_a_host_behind_a_gateway_is_reached(sim: Simulation) -> None:
    """The right host is the gateway's and its own address at once: frames to 10.9.0.2 go to the MAC of 10.0.0.2."""
    left, right = connected_ports(
        [own("10.0.0.1/24", gateway=["10.0.0.2"]), own("10.0.0.2/24", "10.9.0.2/24")], sim.clock.native, sim.seed
    )
    near, far = sim.add_host_on(left, ["10.0.0.1/24"]), sim.add_host_on(right, ["10.0.0.2/24", "10.9.0.2/24"])
    stream(sim, near, far, "aeron:udp?endpoint=10.9.0.2:40123", 100_000)


@pytest.mark.parametrize(
    ("clock", "whose", "word"),
    [
        (lib.FL_CLOCK_NONE, "made in software by the driver when it polls", "driver"),
        (lib.FL_CLOCK_HARDWARE_SYNC, "the device's", "hardware"),
    ],
    ids=["port without a clock", "port with a clock"],
)
def test_messages_have_the_time_of_their_arrival(sim: Simulation, clock: int, whose: str, word: str) -> None:
    offloads = lib.FL_PORT_RX_TIMESTAMP if clock != lib.FL_CLOCK_NONE else 0
    ports = [MemoryPort(f"02:00:00:00:00:0{i}", clock=sim.clock.native, offloads=offloads) for i in (1, 2)]
    ports[0].connect(ports[1])
    ports[1].set_faults(Faults(clock=clock))
    left, right = (
        sim.add_host_on(open_memory_port(own(*addresses), port)[0], addresses)
        for addresses, port in zip((LEFT, RIGHT), ports, strict=True)
    )
    reader = right.add_client().add_subscription(f"{CHANNELS['IPv4']}|media-rcv-ts-offset=0")
    publication = left.add_client().add_publication(CHANNELS["IPv4"])
    sim.run_until(lambda: publication.is_connected and reader.images, "image")

    began_ns = lib.fl_clock_epoch(sim.clock.native)
    assert publication.offer(bytes(16)) > 0
    received: list[bytes] = []
    sim.run_until(lambda: received.extend(reader.poll()) or received, "the message")

    (stamp,) = struct.unpack_from("<q", received[0])
    assert began_ns <= stamp <= lib.fl_clock_epoch(sim.clock.native)
    (counter,) = [c for c in right.counters if c.type_id == CounterType.RECEIVE_TIMESTAMPS]
    assert (counter.label.split()[2:], counter.value) == (["memory", word], 0)
    assert any(
        served.why.endswith(f"Media receive timestamps are {whose}.") for served in read_verdicts(right.counters)
    )


def test_the_driver_shows_the_network_of_its_port(sim: Simulation) -> None:
    left, right = two_hosts(sim)
    stream(sim, left, right, CHANNELS["IPv4"], 10_000)
    sim.run_for(2_000_000_000)
    (shown,) = [c for c in left.counters if c.type_id == CounterType.TRANSPORT_NETSTACK]
    assert shown.label == "netstack: memory own - mtu 1500 10.0.0.1/24 fd00::1/64 fe80::ff:fe00:1/64"
    assert shown.value == 1
    assert figures(left)["memory-tx-pkts"] > 0
    assert figures(left)["memory-tx-unresolved"] == 0


@pytest.mark.parametrize(
    ("frame", "figure", "hint"),
    [
        (IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=40123, chksum=1), "rx-checksum-failure-udp", "tx off"),
        (IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(dport=40123), "rx-fragments", "lower the mtu"),
    ],
    ids=["checksum", "fragment"],
)
def test_what_is_dropped_and_can_be_mended_is_told_once_with_what_to_do(
    sim: Simulation, frame: IP, figure: str, hint: str
) -> None:
    port = MemoryPort("02:00:00:00:00:02", clock=sim.clock.native)
    host = sim.add_host_on(open_memory_port(own(*RIGHT), port)[0], RIGHT)
    host.add_client().add_subscription(CHANNELS["IPv4"])
    for _ in range(3):
        port.inject(bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / frame / Raw(bytes(32))))
        sim.run_for(1_500_000_000)
    (told,) = host.errors()
    assert told.startswith(f"transport memory: memory-{figure} grows: ") and hint in told
    assert figures(host)[f"memory-{figure}"] == 3


def test_as_many_neighbours_are_known_as_the_setting_allows(sim: Simulation) -> None:
    port = MemoryPort("02:00:00:00:00:02", clock=sim.clock.native)
    host = sim.add_host_on(open_memory_port(own("10.0.0.2/16", neighbour_capacity=64), port)[0], RIGHT)
    host.add_client().add_subscription(CHANNELS["IPv4"])
    for number in range(1, 65):
        asks = ARP(op=1, hwsrc=f"02:00:00:01:00:{number:02x}", psrc=f"10.0.1.{number}", pdst="10.0.0.2")
        port.inject(bytes(Ether(src=asks.hwsrc, dst="ff:ff:ff:ff:ff:ff") / asks))
        sim.run_for(10_000_000)
    sim.run_for(1_500_000_000)
    (shown,) = [c for c in host.counters if c.type_id == CounterType.TRANSPORT_NETSTACK]
    assert shown.value == 32, "who asks takes half of the table"


def test_over_ipv6_less_fits_into_a_packet_and_more_is_refused(sim: Simulation) -> None:
    left, _ = two_hosts(sim)
    client = left.add_client()
    client.add_publication(CHANNELS["IPv4"] + "|mtu=1472", 1001)
    channel = "aeron:udp?endpoint=[fd00::2]:40124"
    with pytest.raises(CommandFailed, match="set mtu_length to 1452 or less"):
        client.add_publication(channel + "|mtu=1472", 1002)
    client.add_publication(channel + "|mtu=1440", 1003)
    with pytest.raises(CommandFailed, match="mtu=1472 is more than transport memory of the endpoint carries, 1452"):
        client.add_publication(channel + "|mtu=1472", 1004)
