"""The to-clients broadcast: transmits, lapping, corrupt records."""

import json
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.errors import NativeError
from framelane.shm.broadcast import BroadcastLapped, BroadcastReceiver, BroadcastTransmitter
from framelane.shm.handle import Memory
from framelane.shm.ring import Record

EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "layout.json").read_text())["examples"][
    "broadcast_transmits"
]
CAPACITY = 1024
INTENT, TAIL, LATEST = CAPACITY, CAPACITY + 8, CAPACITY + 16


def make(capacity: int = CAPACITY) -> tuple[BroadcastTransmitter, Memory]:
    memory = Memory(capacity + 128)
    return BroadcastTransmitter(memory, memory.address, memory.length), memory


def receiver_of(memory: Memory) -> BroadcastReceiver:
    return BroadcastReceiver(memory, memory.address, memory.length)


def words(memory: Memory) -> tuple[int, int, int]:
    """Tail intent, tail and latest."""
    intent, tail, latest = struct.unpack_from("<qqq", memory.buffer(), memory.length - 128)
    return intent, tail, latest


def test_transmits_go_where_the_specification_says() -> None:
    transmitter, memory = make(EXAMPLE["capacity"])
    for step in EXAMPLE["steps"]:
        assert words(memory)[1] == step["tail_before"]
        transmitter.transmit(1, b"x" * step["message_length"])
        assert words(memory) == (step["tail_intent_after"], step["tail_after"], step["latest_after"])
        record = struct.unpack_from("<ii", memory.buffer(), step["record_index"])
        assert record == (step["message_length"] + 8, 1)
        if "padding_index" in step:
            padding = struct.unpack_from("<ii", memory.buffer(), step["padding_index"])
            assert padding == (step["padding_length"], -1)


def test_events_come_out_as_they_went_in_across_many_wraps() -> None:
    transmitter, memory = make()
    receiver = receiver_of(memory)
    for n in range(500):
        body = bytes([n % 251]) * (n % 129)
        transmitter.transmit(1 + n, body)
        assert receiver.receive() == Record(1 + n, body)
        assert receiver.receive() is None


def test_new_receiver_sees_the_latest_event_once_more() -> None:
    transmitter, memory = make()
    transmitter.transmit(1, b"old")
    transmitter.transmit(2, b"latest")
    receiver = receiver_of(memory)
    assert receiver.receive() == Record(2, b"latest")
    assert receiver.receive() is None


def test_slow_receiver_is_told_once_and_goes_on_behind_the_latest_event() -> None:
    transmitter, memory = make()
    receiver = receiver_of(memory)
    for n in range(60):
        transmitter.transmit(1, bytes([n]) * 16)
    with pytest.raises(BroadcastLapped, match="unable to keep up with broadcast"):
        receiver.receive()
    assert receiver.lapped_count == 1
    assert receiver.receive() is None
    transmitter.transmit(2, b"next")
    assert receiver.receive() == Record(2, b"next")


def test_receiver_one_byte_inside_the_capacity_is_not_lapped() -> None:
    transmitter, memory = make()
    receiver = receiver_of(memory)
    for n in range(CAPACITY // 24):
        transmitter.transmit(1, bytes([n]) * 16)
    assert [receiver.receive() for _ in range(CAPACITY // 24)] == [
        Record(1, bytes([n]) * 16) for n in range(CAPACITY // 24)
    ]


@pytest.mark.parametrize("length", [0, 7, -1, 137, 2**31 - 1])
def test_corrupt_record_counts_as_lost_and_the_receiver_goes_on(length: int) -> None:
    transmitter, memory = make()
    receiver = receiver_of(memory)
    transmitter.transmit(1, b"one")
    struct.pack_into("<i", memory.buffer(), 0, length)
    with pytest.raises(BroadcastLapped):
        receiver.receive()
    transmitter.transmit(2, b"two")
    assert receiver.receive() == Record(2, b"two")


@given(
    st.binary(min_size=CAPACITY, max_size=CAPACITY), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3)
)
def test_receiver_of_garbage_stays_inside_the_buffer(content: bytes, trailer: list[int]) -> None:
    _, memory = make()
    memory.buffer()[:CAPACITY] = content
    receiver = receiver_of(memory)
    struct.pack_into("<qqq", memory.buffer(), CAPACITY, *trailer)
    for _ in range(5):
        try:
            record = receiver.receive()
        except BroadcastLapped:
            continue
        assert record is None or len(record.body) <= CAPACITY // 8


def test_receivers_read_whole_events_or_hear_of_the_loss_while_they_are_overwritten() -> None:
    transmitter, memory = make(4096)
    count = 30_000
    failures: list[str] = []

    def receive(receiver: BroadcastReceiver) -> None:
        last = -1
        while last < count - 1:
            try:
                record = receiver.receive()
            except BroadcastLapped:
                continue
            if record is None:
                if words(memory)[1] == transmitted[0]:
                    return
                continue
            (number,) = struct.unpack_from("<q", record.body)
            if number <= last or record.body != struct.pack("<q", number) * (1 + number % 30):
                failures.append(f"event {number} after {last}: {record.body.hex()}")
                return
            last = number

    transmitted = [-1]
    threads = [threading.Thread(target=receive, args=(receiver_of(memory),)) for _ in range(2)]
    transmitter.transmit(1, struct.pack("<q", 0))
    for thread in threads:
        thread.start()
    for number in range(1, count):
        transmitter.transmit(1, struct.pack("<q", number) * (1 + number % 30))
    transmitted[0] = words(memory)[1]
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []


def test_event_that_cannot_be_is_refused() -> None:
    transmitter, _ = make()
    with pytest.raises(NativeError, match="at most 128 bytes fit"):
        transmitter.transmit(1, b"x" * 129)
    with pytest.raises(NativeError, match="types begin with 1"):
        transmitter.transmit(0, b"")
