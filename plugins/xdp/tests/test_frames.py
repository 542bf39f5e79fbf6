"""Frames in and out of a port over a veth pair, in each mode and shape."""

from __future__ import annotations

import random
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import wait_until

pytestmark = pytest.mark.root

FAR = "10.77.0.2"
NEAR = "10.77.0.1"
GROUP = "239.88.0.1"
HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


def is_ipv4(frame):
    return frame[12:14] == b"\x08\x00"


def padded(frame):
    return frame + bytes(max(0, 60 - len(frame)))


@pytest.fixture
def hugepages() -> Iterator[None]:
    before = int(HUGE_PAGES.read_text())
    HUGE_PAGES.write_text(str(before + 8))
    yield
    HUGE_PAGES.write_text(str(before))


def exchange(veth, port, datagram, longest):
    """Send frames of random lengths both ways, and compare them."""
    seeded = random.Random(longest)
    lengths = [0, 1, 17, 18, 19, longest] + [seeded.randrange(1, longest + 1) for _ in range(94)]
    payloads = [seeded.randbytes(length) for length in lengths]
    far = veth.far_packets()
    port.add_filter(NEAR, 4000)
    inward = [datagram(NEAR, 4000, payload).frame() for payload in payloads]
    received = []
    for start in range(0, len(inward), 20):
        for frame in inward[start : start + 20]:
            far.send(frame)
        received += port.receive(20)
    assert received == inward

    outward = [datagram(FAR, 4001, payload, source=NEAR).frame() for payload in payloads]
    port.send(*outward)
    assert far.receive(len(outward), is_ipv4) == [padded(frame) for frame in outward]


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("mtu", [1500, 3822, 9000])
def test_frames_of_every_length_pass_both_ways_unchanged(make_veth, make_port, datagram, mode, mtu):
    veth = make_veth(mtu=mtu)
    port = make_port(veth, mode=mode)
    assert bool(port.facts.is_native) == (mode == "native")
    assert port.attributes.mtu_length == mtu
    exchange(veth, port, datagram, mtu - 28)


@pytest.mark.parametrize("settings", [{"need_wakeup": False}, {"busy_poll_us": 20}, {"copy_mode": "copy"}])
def test_frames_pass_both_ways_with_other_settings(veth, make_port, datagram, settings):
    exchange(veth, make_port(veth, **settings), datagram, 1472)


@pytest.mark.usefixtures("hugepages")
def test_frames_pass_both_ways_from_huge_pages(veth, make_port, datagram):
    exchange(veth, make_port(veth, hugepages=True), datagram, 1472)


def test_a_port_sized_for_shorter_packets_than_the_interface_says_so_and_works(make_veth, make_port, datagram):
    veth = make_veth(mtu=9000)
    port = make_port(veth, ip_mtu=1500)
    assert (port.attributes.mtu_length, port.facts.is_multi_buffer, port.facts.chunk_length) == (1500, 0, 2048)
    exchange(veth, port, datagram, 1472)
    far = veth.far_packets()
    far.send(datagram(NEAR, 4000, bytes(8000)).frame())
    far.send(datagram(NEAR, 4000, b"next").frame())
    assert port.receive(1) == [datagram(NEAR, 4000, b"next").frame()]
    assert port.stats()["rx-dropped"] == 1


@pytest.mark.parametrize(
    ("host", "source", "vlan"),
    [
        (NEAR, FAR, None),
        ("fd77::1", "fd77::2", None),
        (GROUP, FAR, None),
        ("ff15::88", "fd77::2", None),
        (NEAR, FAR, 0),  # a priority, and no VLAN
        (NEAR, FAR, 77),
        (NEAR, FAR, 0xE000 | 77),
        ("fd77::1", "fd77::2", 77),
    ],
)
def test_a_datagram_to_an_owned_endpoint_is_taken(veth, port, datagram, host, source, vlan):
    port.add_filter(host, 4000, vlan=vlan & 0xFFF if vlan else 0xFFFF)
    frame = datagram(host, 4000, b"hello", source=source, vlan=vlan).frame()
    veth.far_packets().send(frame)
    assert port.receive(1) == [frame]


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_what_is_not_owned_or_is_odd_stays_with_the_kernel(veth, make_port, datagram, mode):
    port = make_port(veth, mode=mode)
    port.add_filter(NEAR, 4000)
    port.add_filter("fd77::1", 4001)
    odd = [
        datagram(NEAR, 4001, b"another port").frame(),
        datagram("10.77.0.3", 4000, b"another address").frame(),
        datagram("fd77::1", 4000, b"another family's port", source="fd77::2").frame(),
        datagram(NEAR, 4000, b"in a VLAN", vlan=5).frame(),
        datagram(NEAR, 4000, b"first fragment", fragment=0x2000).frame(),
        datagram(NEAR, 4000, b"last fragment", fragment=0x0010).frame(),
        datagram(NEAR, 4000, b"with options", options=b"\x94\x04\0\0").frame(),
        b"\xff" * 12 + b"\x81\x00\0\5\x81\x00\0\6" + datagram(NEAR, 4000, b"stacked tags").frame()[12:],
        datagram(NEAR, 4000, b"cut off").frame()[:36],
        b"\xff" * 12 + b"\x08\x06" + bytes(46),
        b"\xff" * 12 + b"\x88\xb5" + bytes(46),
    ]
    near, far = veth.near_packets(), veth.far_packets()
    for frame in odd:
        far.send(frame)
    last = datagram(NEAR, 4000, b"owned").frame()
    far.send(last)
    assert port.receive(1) == [last]
    # The kernel takes tags out before a packet socket sees the frame.
    tails = [frame[-20:] for frame in odd]
    assert [frame[-20:] for frame in near.receive(len(odd), lambda frame: frame[-20:] in tails)] == tails
    stats = port.stats()
    assert (stats["program-redirected"], stats["program-no-socket"], stats["rx-frames"]) == (1, 0, 1)


def test_a_filter_with_a_source_takes_that_source_alone(veth, port, datagram):
    near, far = veth.near_packets(), veth.far_packets()
    wanted = datagram(GROUP, 4000, b"wanted", source=FAR).frame()
    other = datagram(GROUP, 4000, b"other", source="10.77.0.9").frame()
    port.add_filter(GROUP, 4000, source=FAR)
    far.send(other)
    far.send(wanted)
    assert port.receive(1) == [wanted]
    assert near.receive(1, lambda frame: frame in (other, wanted)) == [other]

    port.add_filter(GROUP, 4000)
    far.send(other)
    assert port.receive(1) == [other]
    port.remove_filter(GROUP, 4000)
    far.send(other)
    far.send(wanted)
    assert port.receive(1) == [wanted]
    assert near.receive(1, lambda frame: frame in (other, wanted)) == [other]


def test_filters_take_effect_and_end_while_the_port_runs(veth, port):
    kernel = veth.udp(veth.near)
    kernel.bind((NEAR, 4000))
    sender = veth.udp(veth.far)
    sender.connect((NEAR, 4000))

    sender.send(b"one")
    assert kernel.recv(100) == b"one"
    port.add_filter(NEAR, 4000)
    port.add_filter(NEAR, 4000)  # a second holder of the same one
    sender.send(b"two")
    assert port.receive(1)[0].endswith(b"two")
    port.remove_filter(NEAR, 4000)
    sender.send(b"three")
    assert port.receive(1)[0].endswith(b"three")
    port.remove_filter(NEAR, 4000)
    sender.send(b"four")
    assert kernel.recv(100) == b"four"


def test_a_filter_that_is_not_there_cannot_be_removed(port, op_failed):
    port.add_filter(NEAR, 4000)
    with pytest.raises(op_failed, match=r"remove the filter for 10.77.0.1:4001 on queue 0 of eth0: there is none"):
        port.remove_filter(NEAR, 4001)


def test_as_many_filters_as_fit_are_taken_and_one_more_is_refused(port, op_failed):
    for number in range(4096):
        port.add_filter(NEAR, 1 + number)
    with pytest.raises(op_failed, match="there are as many as fit"):
        port.add_filter(NEAR, 5000)
    port.remove_filter(NEAR, 1)
    port.add_filter(NEAR, 5000)


def test_joining_a_group_has_the_device_receive_its_address_until_the_last_leave(veth, port):
    def addresses():
        return veth.run(veth.near, "ip", "maddress", "show", "dev", "eth0")

    group = port.address(GROUP)
    port.check(port.ops.join_group(port.object, group))
    port.check(port.ops.join_group(port.object, group))
    assert "01:00:5e:58:00:01" in addresses()
    port.check(port.ops.leave_group(port.object, group))
    assert "01:00:5e:58:00:01" in addresses()
    port.check(port.ops.leave_group(port.object, group))
    assert "01:00:5e:58:00:01" not in addresses()
    port.check(port.ops.join_group(port.object, port.address("ff15::88")))
    assert "33:33:00:00:00:88" in addresses()


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_as_many_frames_as_promised_can_be_held_and_come_back_in_any_order(make_veth, make_port, datagram, mtu):
    veth = make_veth(mtu=mtu)
    port = make_port(veth, ring_size=128)
    port.add_filter(NEAR, 4000)
    far = veth.far_packets()
    seeded = random.Random(7)
    number = 0
    for _ in range(5):
        held, arrays = [], []
        first = number
        while len(held) < port.attributes.max_hold:
            far.send(datagram(NEAR, 4000, number.to_bytes(4, "big") + bytes(mtu - 32)).frame())
            number += 1
            while number - first > len(held):
                frames, count = port.take()
                held += [frames[i] for i in range(count)]
                arrays.append(frames)
        # Held ones are intact, and more can be received meanwhile.
        assert [port.data(frame)[42:46] for frame in held] == [n.to_bytes(4, "big") for n in range(first, number)]
        seeded.shuffle(held)
        together = port.ffi.new("fl_rx_frame_t[]", len(held))
        for i, frame in enumerate(held):
            together[i] = frame
        port.release(together, len(held))
    stats = port.stats()
    assert (stats["rx-frames"], stats["fill-ring-empty"], stats["rx-ring-full"]) == (number, 0, 0)


def test_at_most_one_system_call_sends_32_frames(port, datagram):
    frame = datagram(FAR, 4001, bytes(1000), source=NEAR).frame()
    for _ in range(200):
        port.send(*[frame] * 64)
    stats = port.stats()
    assert stats["tx-frames"] == 12800
    assert 0 < stats["kicks"] <= 12800 // 32


def test_buffers_run_out_honestly_and_come_back(veth, make_port, datagram):
    port = make_port(veth, ring_size=64)
    frames, count = port.allocate(100)
    assert count == 64
    assert port.allocate(1)[1] == 0
    assert port.stats()["tx-buffers-out"] == 37
    assert all(int(port.ffi.cast("uintptr_t", frames[i].data)) % 4 == 2 for i in range(count))
    port.ops.tx_free(port.object, 0, frames, count)
    frame = datagram(FAR, 4001, b"x", source=NEAR).frame()
    port.send(*[frame] * 1000)
    assert port.stats()["tx-frames"] == 1000


@pytest.mark.parametrize("queues", [1, 4])
def test_a_port_can_be_slept_on(make_veth, make_port, datagram, queues):
    veth = make_veth(queues=queues)
    port = make_port(veth)
    port.add_filter(NEAR, 4000)
    descriptor = port.check(port.ops.arm(port.object, 0))
    assert not select.select([descriptor], [], [], 0.05)[0]
    veth.far_packets().send(datagram(NEAR, 4000, b"wake up").frame())
    assert select.select([descriptor], [], [], 10)[0]
    assert port.ops.arm(port.object, 0) == -11  # FL_EAGAIN: there is work
    assert port.ops.disarm(port.object, 0) == 0
    assert len(port.receive(1)) == 1
    assert port.check(port.ops.arm(port.object, 0)) == descriptor


def test_frames_from_every_queue_of_the_device_are_received(make_veth, make_port, datagram):
    veth = make_veth(queues=4)
    port = make_port(veth)
    assert (port.attributes.queues, port.facts.sockets) == (1, 4)
    port.add_filter(NEAR, 4000)
    sender_ports = range(20000, 20064)
    far = veth.far_packets()
    sent = [datagram(NEAR, 4000, b"x", source_port=number).frame() for number in sender_ports]
    for frame in sent:
        far.send(frame)
    assert sorted(port.receive(len(sent))) == sorted(sent)
    figures = veth.run(veth.near, "ethtool", "-S", "eth0")
    queues_used = [line for line in figures.splitlines() if "xdp_redirect:" in line and not line.endswith(" 0")]
    assert len(queues_used) > 1, "the frames came on one queue only, so nothing was shown"
    assert port.stats()["program-no-socket"] == 0


def test_a_queue_that_the_device_got_after_opening_is_told_with_what_to_do(make_veth, make_port, datagram):
    veth = make_veth(queues=4)
    veth.run(veth.near, "ethtool", "-L", "eth0", "rx", "1")
    port = make_port(veth)
    port.add_filter(NEAR, 4000)
    assert len(port.events()) == 1, "what was opened"
    veth.run(veth.near, "ethtool", "-L", "eth0", "rx", "4")
    far = veth.far_packets()
    for number in range(20000, 20064):
        far.send(datagram(NEAR, 4000, b"x", source_port=number).frame())
    told = []
    wait_until(lambda: told.extend(port.events()) or told, "the note")
    ((_, text),) = told
    assert text.startswith("eth0 has more queues than the 1 at opening") and "ethtool -L" in text


def test_two_ports_face_each_other(make_veth, make_port, datagram):
    veth = make_veth(mtu=9000)
    near, far = make_port(veth), make_port(veth, namespace=veth.far)
    near.add_filter(NEAR, 4000)
    far.add_filter(FAR, 4000)
    for number in range(50):
        ping = datagram(FAR, 4000, bytes([number]) * 8000, source=NEAR).frame()
        near.send(ping)
        assert far.receive(1) == [ping]
        pong = datagram(NEAR, 4000, bytes([number]) * 8000).frame()
        far.send(pong)
        assert near.receive(1) == [pong]
