"""A netstack whose interface stays with Linux: what the kernel knows decides where frames go.

The port is one in memory that claims to be eth0 of a namespace, so the frames that would leave can be looked at.
"""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from framelane._native import lib
from framelane.errors import NativeError, TransportError
from framelane.netstack.netlink import NetlinkRequests
from framelane.netstack.port import open_port
from framelane.netstack.tables import NeighbourState
from framelane.testing.memory_port import MemoryPort
from framelane.testing.station import Run, Station
from framelane.transport.address import Address
from framelane.transport.port_settings import PortSettings
from support.memory_ports import PluginPort, open_memory_port
from support.namespaces import inside
from support.processes import wait_until

pytestmark = pytest.mark.root

NEAR, FAR = "10.77.0.1", "10.77.0.2"
COEXISTS = lib.FL_PORT_KERNEL_COEXISTS


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=20)


def mac_of(namespace):
    words = ["ip", "netns", "exec", namespace, "cat", "/sys/class/net/eth0/address"]
    return subprocess.run(words, check=True, timeout=20, capture_output=True, text=True).stdout.strip()


def index_of(name):
    requests = NetlinkRequests()
    try:
        return next(link.index for link in requests.links() if link.name == name)
    finally:
        requests.close()


class Wire:
    """A station on a netstack, and the frames that it transmits."""

    def __init__(self, transport, port):
        self.transport, self.port = transport, port
        self.station = Station(transport)

    def cycle(self):
        ops, clock = self.station.ops, lib.fl_clock_system()
        ops.housekeeping(self.transport.binding.transport, lib.fl_clock_nano(clock))
        self.station.cycle()

    def send(self, endpoint, payload):
        """Send a datagram until its frame is there: one that waits too long for its neighbour is dropped."""
        found = []

        def is_sent():
            endpoint.send([Run(payload)])
            self.cycle()
            found.extend(frame for frame in self.port.take_all() if payload in frame)
            return found

        wait_until(is_sent, f"{payload!r} on the wire")
        return found[0]

    def neighbours(self):
        return {str(n.address): n for n in self.transport.netstack_view().neighbours}


@pytest.fixture
def wire(link):
    """A netstack in kernel mode on eth0 of the left namespace."""
    with inside(link.left):
        port = MemoryPort(offloads=COEXISTS, interface_index=index_of("eth0"))
        transport, plugin = open_memory_port(PortSettings(), port)
        wire = Wire(transport, port)
        yield wire
        wire.station.close()
    assert plugin.closed == 1


def destination(frame):
    return frame[:6].hex(":")


def test_the_kernels_neighbour_receives_the_frame_and_a_moved_one_the_next(link, wire):
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of(FAR, 40123))
    frame = wire.send(endpoint, b"first")
    assert destination(frame) == mac_of(link.right)
    assert socket.inet_ntoa(frame[26:30]) == NEAR and socket.inet_ntoa(frame[30:34]) == FAR

    ip("-n", link.left, "neighbour", "replace", FAR, "lladdr", "02:00:00:00:77:02", "dev", "eth0", "nud", "reachable")
    wait_until(lambda: wire.neighbours()[FAR].mac_text == "02:00:00:00:77:02", "the new MAC address")
    assert destination(wire.send(endpoint, b"second")) == "02:00:00:00:77:02"


def test_ipv6_goes_the_same_way(link, wire):
    for namespace, address in ((link.left, "fd00::1/64"), (link.right, "fd00::2/64")):
        ip("-n", namespace, "address", "add", address, "dev", "eth0", "nodad")
    wait_until(lambda: "fd00::1/64" in map(str, wire.transport.netstack_view().addresses), "the address")
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of("fd00::1"), peer=Address.of("fd00::2", 40123))
    assert destination(wire.send(endpoint, b"six")) == mac_of(link.right)


def test_a_route_of_the_kernel_decides_the_next_hop(link, wire):
    ip("-n", link.left, "route", "add", "10.9.0.0/16", "via", FAR)
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of("10.9.1.1", 40123))
    assert destination(wire.send(endpoint, b"through the gateway")) == mac_of(link.right)

    ip("-n", link.left, "route", "replace", "10.9.0.0/16", "via", "10.77.0.5")
    ip("-n", link.left, "neighbour", "add", "10.77.0.5", "lladdr", "02:00:00:00:00:05", "dev", "eth0")

    def goes_elsewhere():
        return destination(wire.send(endpoint, b"again")) == "02:00:00:00:00:05"

    wait_until(goes_elsewhere, "the other gateway")


def test_longer_packets_than_the_interface_takes_now_are_refused(link, wire):
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of(FAR, 40123))
    long = b"1472 bytes".ljust(1472)
    wire.send(endpoint, long)
    ip("-n", link.left, "link", "set", "eth0", "mtu", "1400")

    def is_too_long():
        wire.cycle()
        return endpoint.send([Run(long)])[1][0].status == -lib.FL_EMSGSIZE

    wait_until(is_too_long, "the refusal")
    wire.send(endpoint, b"1372 bytes".ljust(1372))


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.acceptance)])
def test_a_stream_to_a_neighbour_with_a_short_reachable_time_loses_nothing(link, wire, seconds):
    path = "/proc/sys/net/ipv4/neigh/eth0/base_reachable_time_ms"
    words = ["ip", "netns", "exec", link.left, "sh", "-c", f"echo 1000 > {path}"]
    subprocess.run(words, check=True, timeout=20)
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of(FAR, 40123))
    wire.send(endpoint, b"begin")
    before, count, end = wire.transport.stats(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        assert endpoint.send([Run(b"%08d" % count)])[0] == 1
        count += 1
        wire.cycle()
        wire.port.take_all()
        time.sleep(0.002)
    after = wire.transport.stats()
    assert after["memory-tx-unresolved"] == before["memory-tx-unresolved"]
    assert after["memory-tx-pkts"] - before["memory-tx-pkts"] == count
    assert wire.neighbours()[FAR].state.has_mac


def test_a_neighbour_that_does_not_answer_is_an_error_of_the_datagram(link, wire):
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of("10.77.0.99", 40123))
    statuses = []

    def is_unreachable():
        _, (result,) = endpoint.send([Run(b"lost")])
        statuses.append(result.status)
        wire.cycle()
        return -lib.FL_EHOSTUNREACH in statuses

    wait_until(is_unreachable, "the host unreachable", 20)
    assert wire.neighbours()["10.77.0.99"].state is NeighbourState.FAILED
    assert any("10.77.0.99 does not answer" in line.text for line in wire.transport.host.log_lines())


def test_a_port_that_a_kernel_socket_has_is_refused_and_an_endpoints_port_is_the_kernels_too(link, wire):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((NEAR, 0))
        taken = held.getsockname()[1]
        with pytest.raises(NativeError) as error:
            wire.station.open(bind=Address.of(NEAR, taken))
        assert error.value.code == lib.FL_EADDRINUSE
    endpoint = wire.station.open(bind=Address.of(NEAR))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late, pytest.raises(OSError, match="in use"):
        late.bind((NEAR, endpoint.local.port))


def test_nothing_is_sent_or_opened_once_the_interface_is_deleted(link, wire):
    endpoint = wire.station.open(role=lib.FL_ROLE_SENDER, bind=Address.of(NEAR), peer=Address.of(FAR, 40123))
    wire.send(endpoint, b"before")
    ip("-n", link.left, "link", "delete", "eth0")
    wait_until(lambda: wire.transport.netstack_view().addresses == (), "no address")

    def is_refused():
        wire.cycle()
        return endpoint.send([Run(b"nowhere")])[1][0].status in (-lib.FL_ENETUNREACH, -lib.FL_EADDRNOTAVAIL)

    wait_until(is_refused, "no way out")
    with pytest.raises(NativeError, match="No such device"):
        wire.station.open(bind=Address.of("0.0.0.0"))


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("settings", "interface_index", "expected"),
    [
        ({}, 0, 'set transport.memory.addresses, such as ["10.1.0.5/24"]'),
        ({"neighbours": "kernel"}, 0, 'set transport.memory.neighbours = "own"'),
        ({"addresses": ["10.1.0.5/24"]}, 1, "transport.memory.addresses has no effect"),
        ({"vlan": 7}, 1, "ip link add link lo name lo.7 type vlan id 7"),
        ({}, 99999, "no interface with index 99999 in this network namespace"),
    ],
)
def test_settings_that_do_not_fit_the_port_are_refused_with_what_to_do(settings, interface_index, expected):
    port = MemoryPort(offloads=COEXISTS if interface_index else 0, interface_index=interface_index)
    with pytest.raises(TransportError) as error:
        open_memory_port(PortSettings.model_validate(settings), port)
    assert expected in str(error.value)
    port.host.close()


def test_a_port_whose_netstack_cannot_be_is_closed_once():
    port = MemoryPort(mtu_length=300)
    plugin = PluginPort(port)
    with pytest.raises(NativeError):
        open_port("memory", plugin, PortSettings.model_validate({"addresses": ["10.1.0.5/24"]}), port.host)
    assert plugin.closed == 1
    port.host.close()
