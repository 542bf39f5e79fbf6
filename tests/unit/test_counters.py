"""Counters: allocation, rest before reuse, labels, keys."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane._native import lib
from framelane.errors import NativeError
from framelane.shm.counter_types import (
    ChannelStatus,
    CounterType,
    LocalAddressKey,
    StreamKey,
    channel_key,
    decode_channel_key,
    decode_heartbeat_key,
    decode_index_key,
    heartbeat_key,
    index_key,
    stream_label,
)
from framelane.shm.counters import CountersManager
from framelane.shm.handle import Memory
from framelane.shm.system_counters import (
    SystemCounter,
    SystemLabels,
    allocate_system_counters,
    format_duration,
    free_system_counters,
)

COUNT = 64


def make(count: int = COUNT, cool_down_ms: int = 1000) -> tuple[CountersManager, memoryview]:
    memory = Memory(count * (512 + 128))
    values = memory.address + count * 512
    manager = CountersManager(memory, memory.address, count * 512, values, count * 128, cool_down_ms=cool_down_ms)
    return manager, memory.buffer()


def test_counter_is_read_as_it_was_allocated() -> None:
    manager, _ = make()
    counter_id = manager.allocate(
        1101, "my counter", b"\1\2\3", now_ms=0, value=77, registration_id=5, owner_id=6, reference_id=7
    )
    counter = manager.reader.get(counter_id)
    assert counter is not None
    assert (counter.id, counter.type_id, counter.value, counter.label) == (0, 1101, 77, "my counter")
    assert (counter.registration_id, counter.owner_id, counter.reference_id) == (5, 6, 7)
    assert counter.key == b"\1\2\3" + bytes(109)
    assert manager.reader.find(1101, 5) == counter


def test_freed_id_rests_before_it_is_used_again_and_comes_back_empty() -> None:
    manager, buffer = make()
    first = manager.allocate(1, "first", b"key", now_ms=100, value=9, registration_id=1, owner_id=2, reference_id=3)
    manager.free(first, now_ms=100)
    assert struct.unpack_from("<iiq", buffer, 0) == (-1, 1, 1100)
    assert not any(buffer[16:128]), "the key is gone"
    assert bytes(buffer[132:137]) == b"first", "the label stays until the id is used again"
    assert manager.allocate(1, "second", now_ms=1099) == 1
    assert manager.allocate(1, "third", now_ms=1100) == first
    counter = manager.reader.get(first)
    assert counter is not None
    assert (counter.label, counter.key, counter.value, counter.registration_id) == ("third", bytes(112), 0, 0)
    assert (counter.owner_id, counter.reference_id) == (0, 0)


def test_ids_come_back_oldest_first() -> None:
    manager, _ = make()
    ids = [manager.allocate(1, "", now_ms=0) for _ in range(4)]
    for counter_id in (ids[2], ids[0], ids[3]):
        manager.free(counter_id, now_ms=0)
    assert [manager.allocate(1, "", now_ms=1000) for _ in range(4)] == [ids[2], ids[0], ids[3], 4]


def test_full_table_refuses_until_an_id_has_rested() -> None:
    manager, _ = make(count=4)
    for _ in range(4):
        manager.allocate(1, "", now_ms=0)
    with pytest.raises(NativeError, match="all 4 are in use") as failure:
        manager.allocate(1, "", now_ms=0)
    assert failure.value.code == lib.FL_ENOBUFS
    manager.free(2, now_ms=0)
    with pytest.raises(NativeError):
        manager.allocate(1, "", now_ms=999)
    assert manager.allocate(1, "", now_ms=1000) == 2


def test_free_of_what_is_not_in_use_is_refused() -> None:
    manager, _ = make()
    counter_id = manager.allocate(1, "", now_ms=0)
    manager.free(counter_id, now_ms=0)
    for wrong in (counter_id, 5, -1, COUNT):
        with pytest.raises(NativeError, match="is not allocated"):
            manager.free(wrong, now_ms=0)


def test_clients_that_write_the_records_do_not_confuse_the_manager() -> None:
    manager, buffer = make()
    ids = [manager.allocate(1, f"counter {n}", now_ms=0) for n in range(3)]
    manager.free(ids[1], now_ms=0)
    buffer[:] = b"\xff" * len(buffer)
    assert manager.allocate(1, "again", now_ms=999) == 3
    assert manager.allocate(1, "again", now_ms=1000) == ids[1]
    counter = manager.reader.get(ids[1])
    assert counter is not None
    assert (counter.label, counter.value) == ("again", 0)
    struct.pack_into("<i", buffer, ids[0] * 512, 1)
    struct.pack_into("<i", buffer, ids[0] * 512 + 128, 2**31 - 1)
    hostile = manager.reader.get(ids[0])
    assert hostile is not None
    assert len(hostile.label) == 380


def test_reserved_id_is_passed_over_by_readers_until_it_is_published() -> None:
    manager, _ = make()
    reserved = manager.reserve(now_ms=0)
    manager.allocate(1, "behind", now_ms=0)
    assert [c.label for c in manager.reader] == ["behind"]
    assert manager.reader.get(reserved) is None
    manager.reader.set_value(reserved, 4096)
    manager.publish(reserved, 4, "sub-pos", b"k")
    assert [(c.label, c.value) for c in manager.reader] == [("sub-pos", 4096), ("behind", 0)]
    with pytest.raises(NativeError, match="is not reserved"):
        manager.publish(reserved, 4, "twice")


def test_labels_are_replaced_extended_and_cut() -> None:
    manager, _ = make()
    counter_id = manager.allocate(1, "x" * 400, b"k" * 200, now_ms=0)
    counter = manager.reader.get(counter_id)
    assert counter is not None
    assert (len(counter.label), counter.key) == (380, b"k" * 112)
    manager.update_label(counter_id, "snd-channel: aeron:udp")
    manager.append_label(counter_id, " 127.0.0.1:1")
    counter = manager.reader.get(counter_id)
    assert counter is not None
    assert counter.label == "snd-channel: aeron:udp 127.0.0.1:1"
    manager.append_label(counter_id, "y" * 400)
    counter = manager.reader.get(counter_id)
    assert counter is not None
    assert len(counter.label) == 380


def test_walk_ends_at_the_first_record_never_used() -> None:
    manager, buffer = make()
    manager.allocate(1, "one", now_ms=0)
    struct.pack_into("<i", buffer, 2 * 512, 1)
    assert [c.id for c in manager.reader] == [0]


def test_system_counters_have_their_own_ids_as_counter_ids() -> None:
    manager, _ = make()
    labels = SystemLabels(version="1.2.3", commit="abc", threading_mode="SHARED")
    allocate_system_counters(manager, labels, now_ms=0)
    counters = list(manager.reader)
    assert [c.id for c in counters] == [c.registration_id for c in counters] == list(range(46))
    assert {c.owner_id for c in counters} == {-1}
    assert all(decode_index_key(c.key) == c.id and c.type_id == CounterType.SYSTEM for c in counters)
    assert counters[SystemCounter.ERRORS].label == "Errors: version=1.2.3 commit=abc"
    assert counters[27].label == "Conductor work cycle exceeded threshold count: threshold=100ms SHARED"
    free_system_counters(manager, now_ms=0)
    assert list(manager.reader) == []
    with pytest.raises(RuntimeError, match="allocated before all others"):
        allocate_system_counters(manager, labels, now_ms=0)


def test_address_is_the_word_that_readers_see() -> None:
    manager, buffer = make()
    counter_id = manager.allocate(1, "", now_ms=0)
    manager.reader.set_value(counter_id, -5)
    assert struct.unpack_from("<q", buffer, COUNT * 512 + counter_id * 128) == (-5,)
    assert manager.reader.address(counter_id) % 8 == 0
    with pytest.raises(IndexError):
        manager.reader.value(COUNT)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), st.text("abc:/?=|", max_size=200))
def test_stream_key_survives_a_round_trip_cut_at_its_field(registration_id: int, session_id: int, channel: str) -> None:
    key = StreamKey(registration_id, session_id, 1001, channel).encode()
    assert len(key) <= 112
    assert StreamKey.decode(key.ljust(112, b"\0")) == StreamKey(registration_id, session_id, 1001, channel[:92])


def test_keys_honour_their_length_fields_only_as_far_as_they_reach() -> None:
    assert decode_channel_key(channel_key("aeron:udp?endpoint=a:1").ljust(112, b"\xff")) == "aeron:udp?endpoint=a:1"
    assert LocalAddressKey.decode(LocalAddressKey(3, "[::1]:9").encode().ljust(112, b"z")) == LocalAddressKey(
        3, "[::1]:9"
    )
    assert len(LocalAddressKey(3, "x" * 300).encode()) == 112
    assert decode_heartbeat_key(heartbeat_key(-9).ljust(112, b"\0")) == -9
    assert decode_index_key(index_key(12)) == 12
    assert len(decode_channel_key(struct.pack("<i", 2**31 - 1) + b"c" * 108)) == 108
    assert StreamKey.decode(struct.pack("<qiii", 1, 2, 3, -1) + b"c" * 92).channel == ""


def test_labels_read_as_the_specification_has_them() -> None:
    channel = "aeron:udp?endpoint=localhost:24325"
    assert stream_label(CounterType.PUBLISHER_LIMIT, 1, -2, 3, channel) == f"pub-lmt: 1 -2 3 {channel}"
    assert stream_label("pub-pos (exclusive)", 1, 2, 3, "aeron:ipc") == "pub-pos (exclusive): 1 2 3 aeron:ipc"
    assert stream_label(CounterType.SUBSCRIBER_POSITION, 1, 2, 3, "c", join_position=64) == "sub-pos: 1 2 3 c @64"
    assert [format_duration(ns) for ns in (5_000_000_000, 100_000_000, 1_500_000, 2_000, 7)] == [
        "5s",
        "100ms",
        "1500us",
        "2us",
        "7ns",
    ]
    assert ChannelStatus.ACTIVE == 1
