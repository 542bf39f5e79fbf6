"""Endpoints: who may bind what, and what of it the port is told."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.testing.memory_port import MemoryPort
from framelane.testing.station import Run
from framelane.transport.address import Address
from support.netstack import MAC, PEER, PEER_MAC, PORT, SELF, Netstack

REUSE = lib.FL_ENDPOINT_REUSE_ADDRESS
BOTH = [{"mode": lib.FL_NETSTACK_KERNEL}, {"mode": lib.FL_NETSTACK_OWN}]


@pytest.fixture(params=BOTH, ids=["kernel", "own"])
def stack(request: pytest.FixtureRequest) -> Iterator[Netstack]:
    with Netstack(netstack=request.param, offloads=lib.FL_PORT_STEERING, queues=2) as made:
        yield made


def addresses(stack: Netstack) -> set[str]:
    return {f"{address.ip}:{address.port}" for address, _ in stack.port.filters()}


def events(stack: Netstack) -> list[int]:
    native = ffi.new("fl_event_t[]", 16)
    count = stack.station.ops.events(stack.transport.binding.transport, native, 16)
    return [native[i].kind for i in range(count)]


def test_filters_of_a_wildcard_follow_the_addresses(stack: Netstack) -> None:
    stack.port.set_addresses([f"{SELF}/24", "fd00::1/64"])
    endpoint = stack.station.open(bind=Address.of("0.0.0.0", 0))
    port = endpoint.local.port
    assert addresses(stack) == {f"{SELF}:{port}"}
    stack.port.set_addresses([f"{SELF}/24", "127.9.0.9/24"])
    assert lib.FL_EVENT_ADDRESSES_CHANGED in events(stack)
    assert addresses(stack) == {f"{SELF}:{port}", f"127.9.0.9:{port}"}
    frame = Ether(src=PEER_MAC, dst=MAC) / IP(src=PEER, dst="127.9.0.9") / UDP(dport=port) / Raw(b"new")
    assert stack.receive(endpoint, bytes(frame)) == [b"new"]
    stack.port.set_addresses([f"{SELF}/24"])
    events(stack)
    assert addresses(stack) == {f"{SELF}:{port}"}
    assert stack.receive(endpoint, bytes(frame)) == []
    endpoint.close()
    assert addresses(stack) == set()


def test_filters_follow_the_endpoint_to_its_pollers_queue(stack: Netstack) -> None:
    endpoint = stack.station.open(bind=Address.of(SELF, 0), on_poller=False)
    second = stack.new_poller(1, lib.FL_ROLE_RECEIVER)
    assert [queue for _, queue in stack.port.filters()] == [0]
    stack.station.add(endpoint, second)
    events(stack)
    assert [queue for _, queue in stack.port.filters()] == [1]
    stack.station.remove(endpoint, second)
    stack.station.close_poller(second)


def test_a_sender_to_a_group_hears_the_control_group_and_keeps_a_port_of_its_own(stack: Netstack) -> None:
    data, control = Address.of("239.1.2.3", PORT), Address.of("239.1.2.4", PORT)
    endpoint = stack.station.open(
        role=lib.FL_ROLE_SENDER, bind=control, peer=data, interface=Address.of(SELF), flags=REUSE
    )
    assert str(endpoint.local.ip) == SELF
    assert endpoint.local.port not in (0, PORT)
    assert "239.1.2.4" in stack.port.groups()
    assert "239.1.2.3" not in stack.port.groups()
    assert addresses(stack) == {f"239.1.2.4:{PORT}", f"{SELF}:{endpoint.local.port}"}
    frame = Ether(src=PEER_MAC, dst="01:00:5e:01:02:04") / IP(src=PEER, dst="239.1.2.4") / UDP(dport=PORT) / Raw(b"SM")
    assert stack.receive(endpoint, bytes(frame)) == [b"SM"]
    endpoint.close()
    assert "239.1.2.4" not in stack.port.groups()


def test_groups_are_shared_only_if_all_agree(stack: Netstack) -> None:
    group = Address.of("239.1.2.3", PORT)
    stack.station.open(bind=group, interface=Address.of(SELF), flags=REUSE)
    stack.station.open(bind=group, interface=Address.of(SELF), flags=REUSE)
    with pytest.raises(NativeError, match=rf"239\.1\.2\.3:{PORT}") as raised:
        stack.station.open(bind=group, interface=Address.of(SELF))
    assert raised.value.code == lib.FL_EADDRINUSE
    assert stack.port.groups().count("239.1.2.3") == 2


def test_a_port_that_a_socket_of_the_host_has_is_refused_and_ours_are_reserved() -> None:
    with Netstack() as stack, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((SELF, 0))
        with pytest.raises(NativeError, match="a socket of this host has that address") as raised:
            stack.station.open(bind=Address.of(SELF, other.getsockname()[1]))
        assert raised.value.code == lib.FL_EADDRINUSE
        ours = stack.station.open(bind=Address.of(SELF, 0)).local
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late, pytest.raises(OSError, match="in use"):
            late.bind((SELF, ours.port))


def test_ports_of_own_mode_come_from_the_ephemeral_range() -> None:
    with Netstack(netstack=BOTH[1]) as stack:
        ports = {stack.station.open(bind=Address.of(SELF, 0)).local.port for _ in range(50)}
        assert len(ports) == 50
        assert min(ports) >= 49152


def test_joined_groups_are_reported_by_the_poller_and_left_again() -> None:
    with Netstack(netstack=BOTH[1]) as stack:
        stack.station.cycle()
        stack.port.take_all()
        endpoint = stack.station.open(bind=Address.of("239.1.2.3", PORT), interface=Address.of(SELF))
        assert stack.port.take_all() == []
        stack.station.cycle()
        assert any(bytes([239, 1, 2, 3]) in frame for frame in stack.port.take_all())
        endpoint.close()
        stack.station.cycle()
        assert any(bytes([239, 1, 2, 3]) in frame for frame in stack.port.take_all())


def test_arm_wakes_for_a_frame_and_says_if_one_waits(stack: Netstack) -> None:
    stack.station.settle()
    descriptor = stack.station.ops.arm(stack.station.poller)
    assert select.select([descriptor], [], [], 0)[0] == []
    stack.port.inject(bytes(60))
    assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    assert stack.station.ops.disarm(stack.station.poller) == 0
    assert stack.station.ops.arm(stack.station.poller) == -lib.FL_EAGAIN


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": 3}, "neither kernel nor own"),
        ({"vlan": 4095}, "VLAN 4095"),
        ({"mtu_length": 1501}, "1501 but the device carries 1500"),
        ({"mtu_length": 575}, "at least 576"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_was_found(config: dict[str, int], message: str) -> None:
    port = MemoryPort()
    with pytest.raises(NativeError, match=message):
        port.open_netstack([], **config)
    ffi.cast("fl_port_ops_t *", lib.fl_memory_port_ops()).close(ffi.cast("fl_port_t *", port.native))
    port.host.close()


def test_close_is_refused_while_something_is_open(stack: Netstack) -> None:
    transport = stack.transport.binding.transport
    assert stack.station.ops.close(transport) == -lib.FL_EBUSY
    endpoint = stack.station.open(bind=Address.of(SELF, 0))
    assert endpoint.send([Run(b"", peer=None)])[1][0].status == -lib.FL_EINVAL
