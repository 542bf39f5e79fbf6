"""The to-driver ring: claims, hostile records, dead producers."""

import json
import os
import signal
import struct
import threading
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.errors import FramelaneError, NativeError
from framelane.shm.cnc import CncFile, CncParams
from framelane.shm.handle import Memory
from framelane.shm.ring import Record, RingFull, ToDriverRing

EXAMPLES = json.loads((Path(__file__).parents[1] / "vectors" / "layout.json").read_text())["examples"]
TRAILER = 768
HEAD, TAIL = 384, 128
CAPACITY = 1024


def make_ring(capacity: int = CAPACITY) -> tuple[ToDriverRing, memoryview]:
    memory = Memory(capacity + TRAILER)
    return ToDriverRing(memory, memory.address, memory.length), memory.buffer()


def put_i32(buffer: memoryview, at: int, *values: int) -> None:
    struct.pack_into(f"<{len(values)}i", buffer, at, *values)


def put_i64(buffer: memoryview, at: int, value: int) -> None:
    struct.pack_into("<q", buffer, at, value)


def get_i64(buffer: memoryview, at: int) -> int:
    return int(struct.unpack_from("<q", buffer, at)[0])


def drain(ring: ToDriverRing) -> tuple[list[Record], int]:
    """Read until nothing comes."""
    records, malformed = [], 0
    while True:
        head = ring.head
        batch = ring.read()
        records += batch.records
        malformed += batch.malformed
        if ring.head == head:
            return records, malformed


def test_claims_go_where_the_specification_says() -> None:
    example: dict[str, Any] = EXAMPLES["mpsc_claims"]
    ring, buffer = make_ring(example["capacity"])
    assert ring.max_message_length == example["max_message_length"]
    for step in example["steps"]:
        if ring.head != step["head"]:
            drain(ring)
        assert (ring.head, get_i64(buffer, CAPACITY + TAIL)) == (step["head"], step["tail_before"])
        ring.write(1, b"x" * step["message_length"])
        assert get_i64(buffer, CAPACITY + TAIL) == step["tail_after"]
        assert struct.unpack_from("<ii", buffer, step["record_index"]) == (step["message_length"] + 8, 1)
        if step["padding_index"] is not None:
            assert struct.unpack_from("<ii", buffer, step["padding_index"]) == (step["padding_length"], -1)


def test_records_come_out_as_they_went_in_across_many_wraps() -> None:
    ring, buffer = make_ring()
    for n in range(500):
        body = bytes([n % 251]) * (n % 129)
        ring.write(1 + n, body)
        assert drain(ring) == ([Record(1 + n, body)], 0)
    assert not any(buffer[:CAPACITY]), "consumed bytes are zero again"


def test_full_ring_refuses_until_it_is_read() -> None:
    ring, _ = make_ring()
    for _ in range(7):
        ring.write(1, b"x" * 128)
    with pytest.raises(RingFull):
        ring.write(1, b"x" * 128)
    assert len(drain(ring)[0]) == 7
    ring.write(1, b"x" * 128)


def test_room_that_is_split_by_the_end_of_the_ring_is_not_enough() -> None:
    ring, _ = make_ring()
    for _ in range(8):
        ring.write(1, b"x" * 120)
        drain(ring)
    ring.write(1, b"x" * 64)
    drain(ring)
    for length in (120, 120, 120, 120, 120, 120, 64):
        ring.write(1, b"x" * length)
    with pytest.raises(RingFull):
        ring.write(1, b"x" * 128)  # 112 bytes are free at the end and 72 at the front
    ring.write(1, b"x" * 104)
    assert len(drain(ring)[0]) == 8


@pytest.mark.parametrize(("type_id", "length"), [(0, 1), (-1, 1), (1, 129)])
def test_message_that_cannot_be_is_refused(type_id: int, length: int) -> None:
    ring, _ = make_ring()
    with pytest.raises(NativeError, match="types begin with 1 and at most 128 bytes fit"):
        ring.write(type_id, b"x" * length)


def test_aborted_claim_is_skipped_and_an_open_one_stops_the_reader() -> None:
    ring, _ = make_ring()
    ring.abort(ring.claim(5, 10))
    second = ring.claim(6, 0)
    ring.write(7, b"seven")
    assert drain(ring) == ([], 0)
    ring.commit(second)
    assert drain(ring) == ([Record(6, b""), Record(7, b"seven")], 0)
    with pytest.raises(NativeError, match="no open claim"):
        ring.commit(second)


def test_read_takes_no_more_than_its_limit() -> None:
    ring, _ = make_ring()
    for n in range(3):
        ring.write(1 + n, b"")
    assert [r.type_id for r in ring.read(limit=2).records] == [1, 2]
    assert [r.type_id for r in ring.read(limit=2).records] == [3]


@pytest.mark.parametrize("length", [1, 7, 64, 138, CAPACITY, CAPACITY + 8, 2**31 - 1])
def test_corrupt_length_costs_what_is_claimed_and_the_ring_goes_on(length: int) -> None:
    ring, buffer = make_ring()
    ring.write(1, b"first")
    at = ring.claim(2, 16)
    ring.commit(at)
    ring.write(3, b"lost with the one before")
    put_i32(buffer, at - 8, length)
    assert drain(ring) == ([Record(1, b"first")], 1)
    ring.write(4, b"next")
    assert drain(ring) == ([Record(4, b"next")], 0)


def test_record_that_runs_over_the_end_of_the_ring_costs_what_is_left_of_it() -> None:
    ring, buffer = make_ring()
    for _ in range(7):
        ring.write(1, b"x" * 128)
        drain(ring)
    ring.write(2, b"lost")
    ring.write(3, b"y" * 100)
    put_i32(buffer, 7 * 136, 100)
    assert drain(ring) == ([Record(3, b"y" * 100)], 1)
    assert not any(buffer[CAPACITY : CAPACITY + TAIL]), "nothing behind the ring was touched"


def test_corrupt_type_costs_its_own_record_alone() -> None:
    ring, buffer = make_ring()
    at = ring.claim(2, 16)
    ring.commit(at)
    ring.write(3, b"kept")
    put_i32(buffer, at - 4, -7)
    assert drain(ring) == ([Record(3, b"kept")], 1)


def test_record_beyond_the_tail_is_cleared_and_counted_once() -> None:
    ring, buffer = make_ring()
    put_i32(buffer, 0, 24, 1)
    assert drain(ring) == ([], 1)
    assert drain(ring) == ([], 0)
    ring.write(9, b"nine")
    assert drain(ring) == ([Record(9, b"nine")], 0)


@pytest.mark.parametrize("tail", [-(2**63), -8, 4, 2**63 - 1, CAPACITY + 8])
def test_overwritten_tail_neither_hangs_the_reader_nor_leads_it_out(tail: int) -> None:
    ring, buffer = make_ring()
    ring.write(1, b"x" * 16)
    put_i64(buffer, CAPACITY + TAIL, tail)
    put_i32(buffer, 0, CAPACITY * 2)
    for _ in range(4):
        ring.read()
        ring.unblock()
        ring.is_pending()


@given(
    content=st.lists(st.tuples(st.integers(0, CAPACITY // 8 - 1), st.integers(-(2**31), 2**31 - 1)), max_size=40),
    tail=st.integers(0, CAPACITY // 8) | st.integers(-(2**60), 2**60 - 1),
)
def test_ring_full_of_garbage_is_read_to_an_end(content: list[tuple[int, int]], tail: int) -> None:
    ring, buffer = make_ring()
    guard = bytes(buffer[CAPACITY:])
    for slot, word in content:
        put_i32(buffer, slot * 8, word)
    put_i64(buffer, CAPACITY + TAIL, tail * 8)
    for _ in range(CAPACITY // 8 + 1):
        head = ring.head
        records, _ = ring.read()
        assert all(len(r.body) <= ring.max_message_length and r.type_id >= 1 for r in records)
        if ring.head == head and not ring.unblock():
            break
    else:
        pytest.fail("the reader does not come to an end")
    untouched = [i for i in range(len(guard)) if not (HEAD <= i < HEAD + 8 or TAIL <= i < TAIL + 8)]
    assert all(buffer[CAPACITY + i] == guard[i] for i in untouched)


def test_producer_that_died_behind_its_mark_is_unblocked() -> None:
    ring, _ = make_ring()
    ring.claim(1, 20)
    assert ring.is_pending()
    assert drain(ring) == ([], 0)
    assert ring.unblock()
    assert drain(ring) == ([], 0)
    assert not ring.is_pending()


def test_producer_that_died_before_its_mark_is_unblocked_by_the_record_behind_it() -> None:
    ring, buffer = make_ring()
    put_i64(buffer, CAPACITY + TAIL, 64)
    assert not ring.unblock(), "nothing says how long the dead claim is"
    ring.write(5, b"behind")
    assert ring.unblock()
    assert drain(ring) == ([Record(5, b"behind")], 0)


@pytest.fixture
def cnc(tmp_path: Path) -> Iterator[CncFile]:
    params = CncParams(
        start_timestamp_ms=1,
        pid=os.getpid(),
        to_driver_buffer_length=65536 + TRAILER,
        to_clients_buffer_length=65536 + 128,
        counters_values_buffer_length=128 * 64,
        error_log_buffer_length=4096,
    )
    with CncFile.create(tmp_path / "cnc.dat", params) as file:
        file.ready()
        yield file


def produce(path: Path, producer: int, count: int) -> None:
    with CncFile.map(path) as file:
        file.find_sections()
        ring = file.to_driver()
        sent = 0
        while sent < count:
            try:
                ring.write(producer, sent.to_bytes(4, "little") * (1 + (sent * 7 + producer) % 50))
                sent += 1
            except RingFull:
                os.sched_yield()


def test_records_of_several_processes_arrive_whole_and_in_each_ones_order(cnc: CncFile) -> None:
    producers, count = 3, 20_000
    context = get_context("spawn")
    processes = [context.Process(target=produce, args=(cnc.path, 1 + n, count)) for n in range(producers)]
    for process in processes:
        process.start()
    expected = dict.fromkeys(range(1, 1 + producers), 0)
    ring = cnc.to_driver()
    received = 0
    limit = threading.Event()
    timer = threading.Timer(60, limit.set)
    timer.start()
    while received < producers * count and not limit.is_set():
        batch = ring.read()
        assert batch.malformed == 0
        for type_id, body in batch.records:
            sent = expected[type_id]
            assert body == sent.to_bytes(4, "little") * (1 + (sent * 7 + type_id) % 50)
            expected[type_id] += 1
        received += len(batch.records)
        if not batch.records:
            os.sched_yield()
    timer.cancel()
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    assert set(expected.values()) == {count}


def claim_and_wait(path: Path, ready: Any) -> None:
    with CncFile.map(path) as file:
        file.find_sections()
        file.to_driver().claim(1, 100)
        ready.set()
        signal.pause()


def test_producer_killed_between_claim_and_commit_is_unblocked(cnc: CncFile) -> None:
    ring = cnc.to_driver()
    context = get_context("spawn")
    ready = context.Event()
    process = context.Process(target=claim_and_wait, args=(cnc.path, ready))
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    ring.write(2, b"behind the dead")
    assert drain(ring) == ([], 0)
    assert ring.unblock()
    assert drain(ring) == ([Record(2, b"behind the dead")], 0)


def test_correlation_ids_are_one_sequence_and_the_heartbeat_is_seen(cnc: CncFile) -> None:
    with CncFile.map(cnc.path) as other:
        other.find_sections()
        assert [r.to_driver().next_correlation_id() for r in (cnc, other, cnc)] == [0, 1, 2]
        cnc.to_driver().set_heartbeat_ms(1234)
        assert other.to_driver().heartbeat_ms() == 1234


def test_ring_of_a_closed_file_raises_instead_of_touching_it(cnc: CncFile) -> None:
    ring = cnc.to_driver()
    cnc.close()
    with pytest.raises(FramelaneError, match="CncFile is closed"):
        ring.write(1, b"")


def test_handle_is_inert_in_a_forked_child(cnc: CncFile) -> None:
    ring = cnc.to_driver()
    child = os.fork()
    if child == 0:
        code = 0
        try:
            ring.write(1, b"from the child")
            code = 1
        except FramelaneError as error:
            code = 0 if "inert in process" in str(error) else 2
        cnc.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ring.write(1, b"from the parent")
    assert drain(ring) == ([Record(1, b"from the parent")], 0)
