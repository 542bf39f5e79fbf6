"""The ef_vi port, frame by frame, over the stand-in for its library.

Run by test_port.py in the environment where the plugin is built against the stand-in, in a network
namespace of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from efvi_port import Adapters, Port
from udp_frames import Datagram

from framelane.errors import TransportError
from framelane_efvi.native import STAND_IN_SWITCH
from framelane_efvi.plugin import probe
from framelane_efvi.settings import EfviSettings
from support.native_ops import OpFailedError
from support.processes import wait_until

MODELS = ["sfn8522", "x2522", "x3522"]
REMOVED, NOTE = 4, 6
EBUSY, EEXIST, ENODEV = 16, 17, 19
HARDWARE, HARDWARE_SYNC = 2, 3
ADDRESS = "10.88.0.1"


@pytest.fixture(scope="session", autouse=True)
def interfaces() -> None:
    """The stand-in's adapters have names that the kernel knows; their frames travel in memory."""
    subprocess.run(["ip", "link", "add", "eth2", "type", "veth", "peer", "name", "eth3"], check=True, timeout=60)
    for name in ("eth2", "eth3"):
        subprocess.run(f"ip link set {name} up".split(), check=True, timeout=60)


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapters:
    return Adapters(tmp_path, monkeypatch)


@pytest.fixture
def open_port(adapters: Adapters) -> Iterator[Callable[..., Port]]:  # noqa: ARG001 - the ports are on them
    opened: list[Port] = []

    def open_one(interface: str, **settings: Any) -> Port:
        opened.append(Port(interface, **settings))
        return opened[-1]

    yield open_one
    for port in opened:
        port.close()


@pytest.fixture(params=MODELS)
def ends(request: pytest.FixtureRequest, adapters: Adapters, open_port: Callable[..., Port]) -> tuple[Port, Port]:
    """A port with a filter for port 4000, and one that sends to it."""
    adapters.describe("eth2", f"model={request.param}")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    return near, far


def datagram(number: int = 0, port: int = 4000, length: int = 100, **parts: Any) -> bytes:
    payload = number.to_bytes(4) + bytes((number + i) & 0xFF for i in range(max(0, length - 4)))
    return Datagram(ADDRESS, port, payload[:length], **parts).frame()


def test_frames_of_every_length_arrive_as_they_were_sent(ends: tuple[Port, Port]) -> None:
    near, far = ends
    frames = [datagram(i, length=length) for i, length in enumerate((0, 1, 17, 18, 19, 63, 64, 1000, 1471, 1472))]
    far.send(*frames)
    received = [one.data for one in near.receive(len(frames))]
    # A medium has no frame below 60 bytes; what follows is zero.
    assert received == [frame.ljust(60, b"\0") for frame in frames]


def test_more_frames_than_any_ring_holds_arrive_in_order(ends: tuple[Port, Port]) -> None:
    near, far = ends
    for first in range(0, 3000, 150):
        frames = [datagram(i) for i in range(first, first + 150)]
        far.send(*frames)
        assert [one.data for one in near.receive(150, capacity=7)] == frames
    assert near.stats()["rx-frames"] == 3000
    assert near.stats()["rx-invalid"] == near.stats()["unknown-events"] == 0


def test_frames_may_be_held_while_others_come_and_are_released_in_any_order(ends: tuple[Port, Port]) -> None:
    near, far = ends
    held: list[tuple[Any, int]] = []
    for first in range(0, 320, 32):
        frames = [datagram(i) for i in range(first, first + 32)]
        far.send(*frames)

        def take(wanted: list[bytes] = frames) -> bool:
            burst, count = near.take(1)
            held.extend([(burst, count)] * count)
            return len(held) == first + len(wanted)  # noqa: B023

        wait_until(take, "frames")
    assert [near.copied(burst[0]).data for burst, _ in held] == [datagram(i) for i in range(320)]
    for burst, count in reversed(held):
        near.release(burst, count)
    far.send(datagram(1))
    assert [one.data for one in near.receive(1)] == [datagram(1)]


def test_what_no_filter_takes_does_not_come(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4001)
    near.remove_filter(ADDRESS, 4001)
    far.send(datagram(1, port=4001), datagram(2, port=4002), datagram(3))
    assert [one.data for one in near.receive(1)] == [datagram(3)]


def test_a_filter_held_twice_goes_with_its_last_holder(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4000)
    near.remove_filter(ADDRESS, 4000)
    far.send(datagram(1))
    assert len(near.receive(1)) == 1
    near.remove_filter(ADDRESS, 4000)
    with pytest.raises(OpFailedError, match="there is none"):
        near.remove_filter(ADDRESS, 4000)


@pytest.mark.parametrize("model", MODELS)
def test_each_queue_gets_what_its_filters_take(adapters: Adapters, open_port: Callable[..., Port], model: str) -> None:
    adapters.describe("eth2", f"model={model}")
    near, far = open_port("eth2", queues=2), open_port("eth3")
    near.add_filter(ADDRESS, 4000, queue=0)
    near.add_filter(ADDRESS, 4001, queue=1)
    with pytest.raises(OpFailedError, match="directed it to queue 0 already") as caught:
        near.add_filter(ADDRESS, 4000, queue=1)
    assert caught.value.code == -EEXIST
    far.send(*(datagram(i, port=4000 + i % 2) for i in range(40)))
    assert [one.data for one in near.receive(20, queue=0)] == [datagram(i, port=4000) for i in range(0, 40, 2)]
    assert [one.data for one in near.receive(20, queue=1)] == [datagram(i, port=4001) for i in range(1, 40, 2)]


def test_a_filter_is_added_while_another_thread_polls(ends: tuple[Port, Port]) -> None:
    near, far = ends
    received: list[bytes] = []
    is_over = threading.Event()
    near.check(near.ops.queue_leave(near.object, 0))

    def poll() -> None:
        near.check(near.ops.queue_enter(near.object, 0))
        while not is_over.is_set():
            frames, count = near.take()
            received.extend(near.copied(frames[i]).data for i in range(count))
            near.release(frames, count)
        near.check(near.ops.queue_leave(near.object, 0))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        for port in range(5000, 5020):
            near.add_filter(ADDRESS, port)
            frame = datagram(port, port=port)
            wait_until(lambda frame=frame: far.burst(frame) and frame in received, f"a frame for port {port}")
    finally:
        is_over.set()
        thread.join()
        near.check(near.ops.queue_enter(near.object, 0))
    assert set(received) == {datagram(port, port=port) for port in range(5000, 5020)}


def test_an_x4_is_on_its_express_datapath_unless_told_otherwise(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x4")
    express, enterprise, far = open_port("eth2"), open_port("eth2", datapath="enterprise"), open_port("eth3")
    assert (express.facts.express, express.facts.shared_queues) == (1, 1)
    assert (enterprise.facts.express, enterprise.facts.shared_queues) == (0, 0)
    express.add_filter(ADDRESS, 4000)
    enterprise.add_filter(ADDRESS, 4001)
    far.send(datagram(1), datagram(2, port=4001))
    assert [one.data for one in express.receive(1)] == [datagram(1)]
    assert [one.data for one in enterprise.receive(1)] == [datagram(2, port=4001)]


def test_what_comes_for_another_reader_of_a_shared_queue_is_passed_over(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x3522 others=1")
    near, other, far = open_port("eth2"), open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    other.add_filter(ADDRESS, 4001)
    far.send(*(datagram(i, port=4000 + i % 2) for i in range(40)))
    assert [one.data for one in near.receive(20)] == [datagram(i) for i in range(0, 40, 2)]
    near.wait_for_figure("rx-others", 20)
    assert [one.data for one in other.receive(20)] == [datagram(i, port=4001) for i in range(1, 40, 2)]


def test_what_a_removed_filter_asked_for_is_passed_over_at_once(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "model=x3522 others=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    near.add_filter(ADDRESS, 4001)
    far.send(datagram(1, port=4001), datagram(2))
    assert [one.data for one in near.receive(2)] == [datagram(1, port=4001), datagram(2)]
    near.remove_filter(ADDRESS, 4000)
    far.send(datagram(3), datagram(4, port=4001))
    assert [one.data for one in near.receive(1)] == [datagram(4, port=4001)]
    near.wait_for_figure("rx-others", 1)


def test_datagrams_over_ipv6_have_filters_too(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter("fd88::1", 4000)
    frame = Datagram("fd88::1", 4000, b"over IPv6", source="fd88::2").frame()
    far.send(Datagram("fd88::1", 4001, b"another", source="fd88::2").frame(), frame)
    assert [one.data for one in near.receive(1)] == [frame]
    near.remove_filter("fd88::1", 4000)


def test_a_filter_for_a_tag_takes_tagged_datagrams(ends: tuple[Port, Port]) -> None:
    near, far = ends
    near.add_filter(ADDRESS, 4001, vlan=5)
    frame = datagram(1, port=4001, vlan=5)
    far.send(datagram(2, port=4002, vlan=5), frame)
    assert [one.data for one in near.receive(1)] == [frame]
    near.remove_filter(ADDRESS, 4001, vlan=5)


def test_a_multicast_datagram_goes_to_every_queue_that_wants_it(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2", queues=2), open_port("eth3")
    for queue in range(2):
        near.add_filter("239.20.90.1", 4000, queue=queue)
        near.check(near.ops.join_group(near.object, near.address("239.20.90.1")))
    frame = Datagram("239.20.90.1", 4000, b"to all").frame()
    far.send(frame)
    assert [near.receive(1, queue=queue)[0].data for queue in range(2)] == [frame.ljust(60, b"\0")] * 2


def test_without_credits_nothing_is_sent_until_there_are_some(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth3", "model=x3522 no-credits=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    far.poll()
    assert far.burst(datagram(1)) == 0
    assert far.stats()["tx-ring-full"] == 1
    adapters.describe("eth3", "no-credits=0")
    far.send(datagram(2))
    assert [one.data for one in near.receive(1)] == [datagram(2)]


def test_an_agent_sleeps_until_a_frame_comes(ends: tuple[Port, Port]) -> None:
    import select

    near, far = ends
    near.poll()
    descriptor = near.check(near.ops.arm(near.object, 0))
    sleeper = select.poll()
    sleeper.register(descriptor, select.POLLIN)
    far.send(datagram(1))
    assert sleeper.poll(20_000)
    near.check(near.ops.disarm(near.object, 0))
    assert len(near.receive(1)) == 1


# ---- sending ----


@pytest.mark.parametrize(
    ("model", "transmit", "figure"),
    [
        ("x2522", "auto", "tx-ctpio"),
        ("x2522", "dma", "tx-dma"),
        ("sfn8522", "auto", "tx-pio"),
        ("x3522", "auto", "tx-ctpio"),
    ],
)
def test_frames_go_the_way_that_was_chosen(
    adapters: Adapters, open_port: Callable[..., Port], model: str, transmit: str, figure: str
) -> None:
    adapters.describe("eth3", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3", transmit=transmit)
    near.add_filter(ADDRESS, 4000)
    for i in range(50):
        far.send(datagram(i, length=1000))
        assert [one.data for one in near.receive(1)] == [datagram(i, length=1000)]
    far.wait_for_figure(figure, 50)
    assert far.stats()["tx-buffers-out"] == 0


def test_a_long_burst_is_read_by_the_adapter(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    assert far.burst(*(datagram(i) for i in range(32))) == 32
    far.wait_for_figure("tx-dma", 32)
    far.send(datagram(0))
    far.wait_for_figure("tx-ctpio", 1)
    assert len(near.receive(33)) == 33


def test_what_ctpio_cannot_send_is_read_by_the_adapter(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth3", "ctpio-fails=1")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    for i in range(20):
        far.send(datagram(i))
    assert [one.data for one in near.receive(20)] == [datagram(i) for i in range(20)]
    far.wait_for_figure("tx-ctpio-fallback", 20)


@pytest.mark.parametrize("model", MODELS)
def test_a_full_ring_takes_no_more_and_loses_nothing(
    adapters: Adapters, open_port: Callable[..., Port], model: str
) -> None:
    adapters.describe("eth3", f"model={model} stalled=1")
    near, far = open_port("eth2", rx_queue_size=2048), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    sent = 0
    while taken := far.burst(*(datagram(i) for i in range(sent, sent + 8))):
        sent += taken
    # An X3 has no ring: what the wire does not take is not taken.
    assert sent < 2048 and (sent >= 8 or model == "x3522")
    assert far.stats()["tx-ring-full"] + far.stats()["tx-buffers-out"] > 0
    adapters.describe("eth3", "stalled=0")

    def has_room() -> int:
        far.poll()
        return far.burst(datagram(sent))

    sent += wait_until(has_room, "room")

    received: list[bytes] = []

    def all_came() -> bool:
        far.poll()
        frames, count = near.take()
        received.extend(near.copied(frames[i]).data for i in range(count))
        near.release(frames, count)
        return len(received) == sent

    wait_until(all_came, f"{sent} frames")
    assert received == [datagram(i) for i in range(sent)]


# ---- what the adapter tells ----


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("reason", "figure"), [("crc", "crc"), ("length", "truncated"), ("l4", "checksum")])
def test_bad_frames_are_counted_by_reason_and_their_buffers_are_used_again(
    adapters: Adapters, open_port: Callable[..., Port], model: str, reason: str, figure: str
) -> None:
    adapters.describe("eth2", f"model={model} discard={reason}:2")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    for first in range(0, 1200, 60):
        far.send(*(datagram(i) for i in range(first, first + 60)))
        near.receive(30)
    near.wait_for_figure("rx-discard", 600)
    assert near.stats()[f"rx-discard-{figure}"] == 600


def test_merged_events_are_taken_apart(open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2", event_merge="on"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    frames = [datagram(i, length=4 + i) for i in range(400)]
    for first in range(0, 400, 100):
        far.send(*frames[first : first + 100])
        assert [one.data for one in near.receive(100, capacity=3)] == [
            frame.ljust(60, b"\0") for frame in frames[first : first + 100]
        ]
    assert near.stats()["rx-merged-events"] > 0
    assert near.facts.merges_events


def test_without_a_licence_for_more_events_are_merged_and_that_is_said(
    adapters: Adapters, open_port: Callable[..., Port]
) -> None:
    adapters.describe("eth2", "licence=merge")
    near = open_port("eth2")
    assert near.facts.merges_events
    ((kind, text),) = near.events()
    assert kind == NOTE and "Receive events are merged" in text
    with pytest.raises(TransportError, match="activation key"):
        open_port("eth2", event_merge="off")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("clock", "expected"), [("sync", HARDWARE_SYNC), ("set", HARDWARE), ("unknown", 0), ("lost", 0)]
)
def test_received_frames_have_the_adapters_time_and_the_state_of_its_clock(
    adapters: Adapters, open_port: Callable[..., Port], model: str, clock: str, expected: int
) -> None:
    adapters.describe("eth2", f"model={model} clock={clock}")
    near, far = open_port("eth2", timestamps=True), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    far.send(*(datagram(i) for i in range(10)))
    received = near.receive(10)
    assert {one.clock for one in received} == {expected}
    stamps = [one.timestamp_ns for one in received]
    if expected:
        assert stamps == sorted(stamps) and stamps[0] > 0
    assert near.stats()["rx-unstamped"] == (0 if expected else 10)


@pytest.mark.parametrize("model", ["x2522", "x3522"])
def test_sent_frames_are_stamped_and_their_buffers_come_back(
    adapters: Adapters, open_port: Callable[..., Port], model: str
) -> None:
    adapters.describe("eth3", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3", tx_timestamps=True)
    near.add_filter(ADDRESS, 4000)
    for i in range(800):
        far.send(datagram(i))
        near.receive(1)
    far.wait_for_figure("tx-stamped", 800)
    assert far.stats()["tx-last-stamp-ns"] > 0 and far.stats()["tx-stamped-unsynchronised"] == 0


# ---- what goes wrong ----


@pytest.mark.parametrize(("word", "cause"), [("lost=1", "was reset, or taken out"), ("overflow=1", "overflowed")])
@pytest.mark.parametrize("model", MODELS)
def test_a_lost_adapter_is_said_once_with_the_cause_and_opens_again(
    adapters: Adapters, open_port: Callable[..., Port], model: str, word: str, cause: str
) -> None:
    adapters.describe("eth2", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    near.events()
    adapters.describe("eth2", word)

    def is_lost() -> bool:
        far.burst(datagram(0))
        far.poll()
        frames = near.ffi.new("fl_rx_frame_t[]", 8)
        return int(near.ops.rx_burst(near.object, 0, frames, 8)) == -ENODEV

    wait_until(is_lost, "the loss")
    ((kind, text),) = near.events()
    assert kind == REMOVED and cause in text
    assert near.events() == []
    near.close()
    adapters.describe("eth2", "lost=0 overflow=0")
    again = open_port("eth2")
    again.add_filter(ADDRESS, 4000)
    far.send(datagram(7))
    assert datagram(7) in [one.data for one in again.receive(1)]


def test_a_stopped_transmit_queue_is_started_again(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    near, far = open_port("eth2"), open_port("eth3", transmit="dma")
    near.add_filter(ADDRESS, 4000)
    adapters.describe("eth3", "tx-error=bus")

    def is_stopped() -> bool:
        far.burst(datagram(0))
        far.poll()
        return far.stats()["tx-device-errors"] > 0

    wait_until(is_stopped, "an error of the transmit queue")
    adapters.restore("eth3")

    def goes_on() -> bool:
        far.burst(datagram(1))
        far.poll()
        frames, count = near.take()
        seen = [near.copied(frames[i]).data for i in range(count)]
        near.release(frames, count)
        return datagram(1) in seen

    wait_until(goes_on, "frames after it")
    # Neither a buffer nor a descriptor was lost with what was not sent.
    for i in range(1500):
        far.send(datagram(i))
        near.poll()
    far.wait_for_figure("tx-dma", far.stats()["tx-frames"])


@pytest.mark.parametrize(
    ("whose", "words", "text"),
    [
        ("eth2", "licence=none", "activation key"),
        ("eth2", "vi=ENOSPC", "there are none left"),
        ("eth2", "memreg=ENOMEM", "locked memory"),
        ("eth2", "pd=EPERM", "activation key"),
        ("*", "open=ENOENT", "modprobe sfc_char"),
        ("*", "open=EACCES", "SFC_CHAR_GROUP"),
    ],
)
def test_a_refusal_says_what_to_do(
    adapters: Adapters, open_port: Callable[..., Port], whose: str, words: str, text: str
) -> None:
    adapters.describe(whose, words)
    with pytest.raises(TransportError, match=text):
        open_port("eth2")


@pytest.mark.parametrize(
    ("error", "text"),
    [("EEXIST", "which is another process's"), ("ENOSPC", "no filter or queue left"), ("ENOMEM", "huge")],
)
def test_a_refused_filter_says_who_and_why(
    adapters: Adapters, open_port: Callable[..., Port], error: str, text: str
) -> None:
    near = open_port("eth2")
    adapters.describe("eth2", f"filter={error}")

    def refused() -> str | None:
        try:
            near.add_filter(ADDRESS, 4000)
        except OpFailedError as caught:
            return caught.text
        near.remove_filter(ADDRESS, 4000)
        return None

    found = wait_until(refused, "the refusal")
    assert f"{ADDRESS}:4000 of eth2" in found and text in found


def test_shared_queues_without_huge_pages_say_so(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth2", "model=x3522 hugepages=0")
    near = open_port("eth2")
    with pytest.raises(OpFailedError, match="huge pages of 2 MiB"):
        near.add_filter(ADDRESS, 4000)


def test_the_filter_of_another_process_is_in_the_way(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth2", "model=x3522")
    near, other = open_port("eth2"), open_port("eth2")
    near.add_filter(ADDRESS, 4000)
    with pytest.raises(OpFailedError, match="another process's") as caught:
        other.add_filter(ADDRESS, 4000)
    assert caught.value.code == -EBUSY
    near.remove_filter(ADDRESS, 4000)
    other.add_filter(ADDRESS, 4000)


def test_the_processes_that_may_have_the_filter_are_named(adapters: Adapters) -> None:
    """In a mount namespace with a device file of ours, which another process has open."""
    adapters.describe("eth2", "filter=EEXIST")
    program = (
        "from efvi_port import Port\n"
        "port = Port('eth2')\n"
        "try:\n    port.add_filter('10.88.0.1', 4000)\n"
        "except Exception as error:\n    print(error)\n"
        "port.close()\n"
    )
    script = (
        "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && touch /dev/sfc_char || exit 1; "
        "sleep 60 9</dev/sfc_char & holder=$!; while ! [ -e /proc/$holder/fd/9 ]; do :; done; "
        '"$0" -c "$1"; kill $holder'
    )
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, program]
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}:{here.parents[2] / 'tests'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"another process's: (sleep|sh) \(pid \d+\)", done.stdout), done.stdout + done.stderr


def test_sizes_of_the_librarys_environment_are_taken(
    open_port: Callable[..., Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EF_VI_RXQ_SIZE", "2048")
    monkeypatch.setenv("EF_VI_TXQ_SIZE", "1024")
    port = open_port("eth2")
    assert (port.facts.rx_queue_size, port.facts.tx_queue_size) == (2047, 1023)
    other = open_port("eth3", rx_queue_size=1024)
    assert (other.facts.rx_queue_size, other.facts.tx_queue_size) == (1023, 1023)


@pytest.mark.parametrize(
    ("settings", "text"), [({"transmit": "pio"}, "has no PIO"), ({"datapath": "express"}, "express")]
)
def test_what_the_adapter_has_not_is_refused(
    adapters: Adapters, open_port: Callable[..., Port], settings: dict[str, Any], text: str
) -> None:
    adapters.describe("eth2", "model=x3522")
    with pytest.raises(TransportError, match=text):
        open_port("eth2", **settings)
    verdict = probe(EfviSettings(interface="eth2", **settings))
    assert not verdict.usable and text.split()[-1] in str(verdict.obstacles).lower() + "PIO"


@pytest.mark.parametrize("model", MODELS)
def test_the_verdict_tells_the_model_and_that_it_is_a_stand_in(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    adapters.describe("eth2", f"model={model}")
    verdict = probe(EfviSettings(interface="eth2"))
    facts = {fact.name: fact.value for fact in verdict.facts}
    assert verdict.usable, verdict.obstacles
    assert facts["receives into"] == ("shared buffers" if model == "x3522" else "a descriptor ring")
    assert "stand-in" in facts
    monkeypatch.delenv(STAND_IN_SWITCH)
    refused = probe(EfviSettings(interface="eth2"))
    assert not refused.usable and "stand-in" in refused.obstacles[0].found
    with pytest.raises(TransportError, match="stand-in"):
        Port("eth2")
