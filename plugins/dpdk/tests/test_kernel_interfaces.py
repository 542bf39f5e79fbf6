"""Virtual devices over interfaces of the kernel, in a network namespace with a veth pair v0 - v1.

The other side is a raw socket on v1, or on the TAP interface. Each case is a process of its own, in that namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.namespaces import new_namespace, run_in

pytestmark = pytest.mark.root

PROLOGUE = """
import os, socket, subprocess, sys, time
from dpdk_port import OpFailedError, Port, ffi, frame, lib
from support.processes import wait_until

def raw_socket(interface):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    raw.bind((interface, 0x88B5))
    raw.setblocking(False)
    return raw

def taken(port, raw):
    # As an agent does, the queue is polled all the while: some devices of DPDK transmit only then.
    port.poll()
    try:
        return raw.recv(65536)
    except BlockingIOError:
        return b""

def settle(port, raw):
    # The kernel sends nothing before it has seen the carrier, which it does by the way.
    def passes():
        port.send(frame(b"probe"))
        return b"probe" in taken(port, raw)
    wait_until(passes, "a frame to pass")

def exchange(port, raw, sizes):
    settle(port, raw)
    for size in sizes:
        sent = frame(os.urandom(size - 14), source=bytes(port.attributes.mac))
        wait_until(lambda: port.send(sent) == 1, "the port to take a frame")  # not while Linux has yet to take its last
        wait_until(lambda: taken(port, raw) == sent, f"a frame of {size} bytes from the port")
        back = frame(os.urandom(size - 14), to=bytes(port.attributes.mac))
        raw.send(back)
        wait_until(lambda: back in [one.data for one in port.poll()], f"a frame of {size} bytes to the port")
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    with new_namespace() as name:
        run_in(name, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        run_in(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for device in ("v0", "v1"):
            run_in(name, "ip", "link", "set", device, "up")
        yield name


RunInside = Callable[[str], None]


@pytest.fixture
def run_inside(namespace: str, run_python: Callable[..., subprocess.CompletedProcess[str]]) -> RunInside:
    def run(source: str) -> None:
        done = run_python(f"{PROLOGUE}\n{source}\nprint('done')", prefix=("ip", "netns", "exec", namespace))
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

    return run


def test_af_packet_shares_the_interface_and_exchanges_frames(run_inside: RunInside) -> None:
    run_inside("""
port = Port(vdev="net_af_packet", vdev_args={"iface": "v0"}, link_wait_ms=10_000)
assert port.events() == []
assert port.attributes.offloads & lib.FL_PORT_KERNEL_COEXISTS
assert port.attributes.interface_index == socket.if_nametoindex("v0")
shown = subprocess.run("ip -br link show v0".split(), capture_output=True, text=True, check=True).stdout
assert bytes(port.attributes.mac).hex(":") in shown
exchange(port, raw_socket("v1"), [60, 1000, 1514])
port.close()
""")


def test_af_packet_takes_the_interfaces_jumbo_mtu(run_inside: RunInside) -> None:
    run_inside("""
for name in ("v0", "v1"):
    subprocess.run(f"ip link set {name} mtu 9000".split(), check=True)
port = Port(vdev="net_af_packet", vdev_args={"iface": "v0"}, link_wait_ms=10_000)
assert port.attributes.mtu_length == 9000
exchange(port, raw_socket("v1"), [60, 9014] * 300)  # once around the rings of 512
port.close()
""")


def test_with_own_addresses_af_packet_does_not_count_on_the_kernel(run_inside: RunInside) -> None:
    run_inside("""
port = Port(vdev="net_af_packet", vdev_args={"iface": "v0"}, neighbours="own", addresses=["10.0.0.1/24"])
assert not port.attributes.offloads & lib.FL_PORT_KERNEL_COEXISTS
assert port.attributes.interface_index == 0
port.close()
""")


def test_a_deleted_interface_is_a_lost_device_and_a_new_one_opens(run_inside: RunInside) -> None:
    run_inside("""
make = lambda: Port(vdev="net_af_packet", vdev_args={"iface": "v0"}, link_wait_ms=10_000)
port = make()
assert port.housekeeping() == 0
subprocess.run("ip link del v0".split(), check=True)
subprocess.run("ip link add v0 type veth peer name v1".split(), check=True)
for name in ("v0", "v1"):
    subprocess.run(f"ip link set {name} up".split(), check=True)
assert port.housekeeping() == -lib.FL_ENODEV
events = [kind for kind, _ in port.events()]
assert events.count(lib.FL_EVENT_REMOVED) == 1, events
try:
    port.poll()
except OpFailedError as error:
    assert error.code == -lib.FL_ENODEV
else:
    raise AssertionError("a lost device was polled")
port.close()
port = make()
exchange(port, raw_socket("v1"), [100])
port.close()
""")


def test_the_link_goes_down_and_comes_up_with_the_interface(run_inside: RunInside) -> None:
    run_inside("""
port = Port(vdev="net_af_packet", vdev_args={"iface": "v0"}, link_wait_ms=10_000)
def await_event(kind):
    def has_come():
        assert port.housekeeping() == 0
        return kind in [one for one, _ in port.events()]
    wait_until(has_come, f"event {kind}")
for _ in range(2):
    subprocess.run("ip link set v0 down".split(), check=True)
    await_event(lib.FL_EVENT_LINK_DOWN)
    subprocess.run("ip link set v0 up".split(), check=True)
    await_event(lib.FL_EVENT_LINK_UP)
exchange(port, raw_socket("v1"), [100])
port.close()
""")


def test_tap_makes_an_interface_whose_other_side_is_the_port(run_inside: RunInside) -> None:
    run_inside("""
for _ in range(2):
    port = Port(vdev="net_tap", vdev_args={"iface": "t0"}, link_wait_ms=10_000)
    assert not port.attributes.offloads & lib.FL_PORT_KERNEL_COEXISTS
    shown = subprocess.run("ip -br link show t0".split(), capture_output=True, text=True, check=True).stdout
    assert bytes(port.attributes.mac).hex(":") not in shown  # two hosts, two addresses
    exchange(port, raw_socket("t0"), [60, 1514])
    port.close()
    assert not os.path.exists("/proc/sys/net/ipv4/conf/t0")
""")


def test_af_xdp_takes_the_interfaces_queue(run_inside: RunInside) -> None:
    run_inside("""
port = Port(vdev="net_af_xdp", vdev_args={"iface": "v0"}, link_wait_ms=10_000)
exchange(port, raw_socket("v1"), [60, 1514])
port.close()
""")


def test_checksums_that_tap_offers_are_filled_in(run_inside: RunInside) -> None:
    run_inside("""
import struct
port = Port(vdev="net_tap", vdev_args={"iface": "t0"}, link_wait_ms=10_000)
offered = port.attributes.offloads
assert offered & lib.FL_PORT_TX_CHECKSUM_IPV4 and offered & lib.FL_PORT_TX_CHECKSUM_UDP
def fold(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
payload = os.urandom(64)
addresses = bytes([10, 0, 0, 1, 10, 0, 0, 2])
udp_length = 8 + len(payload)
ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + udp_length, 0, 0x4000, 64, 17, 0) + addresses
pseudo = fold(addresses + struct.pack("!HH", 17, udp_length))
udp = struct.pack("!HHHH", 1000, 2000, udp_length, pseudo)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
raw.bind(("t0", 0x0800))
raw.settimeout(10)
data = b"\\xff" * 6 + bytes(port.attributes.mac) + b"\\x08\\x00" + ip + udp + payload
assert port.send(data, flags=lib.FL_TX_CHECKSUM_IPV4 | lib.FL_TX_CHECKSUM_UDP) == 1
got = raw.recv(65536)
assert fold(got[14:34]) == 0xFFFF
assert fold(addresses + struct.pack("!HH", 17, udp_length) + got[34:]) == 0xFFFF
# What comes back is verified, good and bad.
good = bytes(port.attributes.mac) + b"\\x02\\0\\0\\0\\0\\x01" + got[12:]
raw.send(good)
raw.send(good[:-1] + bytes([good[-1] ^ 1]))
assert [one.checksum for one in port.receive(2)] == [lib.FL_CHECKSUM_GOOD, lib.FL_CHECKSUM_BAD]
port.close()
port = Port(vdev="net_tap", vdev_args={"iface": "t0"}, checksum_offload=False)
checksums = lib.FL_PORT_TX_CHECKSUM_IPV4 | lib.FL_PORT_TX_CHECKSUM_UDP | lib.FL_PORT_RX_CHECKSUM
assert not port.attributes.offloads & checksums
port.close()
""")


def test_a_group_takes_the_least_that_a_device_has_and_everything_is_noted(
    run_inside: RunInside, tmp_path: Path
) -> None:
    """A list of addresses, else all multicast, else everything, which some virtual devices take by their nature. Real
    devices alone have none of them (ENA).
    """
    run_inside(f"""
import ctypes
version = ffi.new("fl_dpdk_version_t *")
lib.fl_dpdk_version(version)
dpdk = ctypes.CDLL(f"librte_ethdev.so.{{version.abi_major}}")

def join(vdev, arguments):
    port = Port(vdev=vdev, vdev_args=arguments)
    if vdev == "net_ring":  # which begins with both
        assert (dpdk.rte_eth_allmulticast_disable(0), dpdk.rte_eth_promiscuous_disable(0)) == (0, 0)
    port.join(239, 1, 2, 3)
    port.join(239, 1, 2, 4)
    found = dpdk.rte_eth_allmulticast_get(0), dpdk.rte_eth_promiscuous_get(0), promiscuity()
    notes = [text for kind, text in port.events() if kind == lib.FL_EVENT_NOTE]
    port.close()
    return *found, notes, promiscuity()

def promiscuity():
    shown = subprocess.run("ip -d link show v0".split(), capture_output=True, text=True, check=True).stdout
    return int(shown.partition("promiscuity ")[2].split()[0])

assert join("net_tap", {{"iface": "t0"}}) == (0, 0, 0, [], 0)
assert join("net_ring", {{"link": "pair"}}) == (1, 0, 0, [], 0)
assert join("net_memif", {{"role": "server", "socket": "{tmp_path}/memif.sock"}}) == (0, 1, 0, [], 0)
note = "net_af_packet0 cannot filter multicast: it is promiscuous now"
assert join("net_af_packet", {{"iface": "v0"}}) == (0, 1, 1, [note], 0), "v0 is as it was"
""")
