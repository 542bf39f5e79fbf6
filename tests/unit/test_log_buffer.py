"""Log buffers: files, metadata, positions, cleaning, gaps and unblocking."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.errors import FramelaneError, NativeError
from framelane.shm.log_buffer import (
    LogBuffer,
    LogParams,
    LogType,
    check_storage,
    compute_position,
    framed_length,
    log_file_length,
    max_message_length,
    wrap_i32,
)

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "layout.json").read_text())["examples"]
T = 65536
INITIAL = 1494378591
PARAMS = LogParams(
    type=LogType.CONCURRENT,
    correlation_id=11,
    session_id=-2016354757,
    stream_id=10,
    initial_term_id=INITIAL,
    term_length=T,
    mtu_length=1408,
    sparse=True,
)


def params(**changes: Any) -> LogParams:
    return LogParams(**{**PARAMS.__dict__, **changes})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogBuffer]:
    with LogBuffer.create(tmp_path / "11.logbuffer", PARAMS) as buffer:
        yield buffer


def put_frame(log: LogBuffer, partition: int, offset: int, length: int) -> None:
    struct.pack_into("<i", log.term(partition), offset, length)


def frame_at(log: LogBuffer, partition: int, offset: int) -> bytes:
    return bytes(log.term(partition)[offset : offset + 32])


def set_tail(log: LogBuffer, term_id: int, offset: int) -> None:
    count = wrap_i32(term_id - INITIAL)
    log.metadata.term_tail_counters[count % 3] = wrap_i32(term_id) * 2**32 + offset
    log.metadata.active_term_count = count


def gap_scan(log: LogBuffer, offset: int, limit: int) -> tuple[int, int, int]:
    gap = ffi.new("fl_gap_t *")
    return lib.fl_term_gap_scan(log.native.terms[0], T, offset, limit, gap), gap.offset, gap.length


@pytest.mark.parametrize("example", EXAMPLES["log_file_length"], ids=str)
def test_file_length_is_that_of_the_specification(example: dict[str, int]) -> None:
    assert log_file_length(example["term_length"], example["page_size"]) == example["file_length"]
    assert example["file_length"] - lib.FL_LOG_METADATA_LENGTH == example["metadata_offset"]


@pytest.mark.parametrize("example", EXAMPLES["initial_tails"], ids=lambda e: str(e["initial_term_id"]))
def test_initial_tails_are_those_of_the_specification(example: dict[str, Any], tmp_path: Path) -> None:
    start = params(
        initial_term_id=example["initial_term_id"],
        starting_term_id=example["starting_term_id"],
        starting_term_offset=example["starting_offset"],
    )
    with LogBuffer.create(tmp_path / "log", start) as log:
        assert list(log.metadata.term_tail_counters) == example["tail_counters"]
        assert log.metadata.active_term_count == example["active_term_count"]


@pytest.mark.parametrize("example", EXAMPLES["position"], ids=str)
def test_position_is_that_of_the_specification(example: dict[str, int]) -> None:
    keys = ("term_id", "term_offset", "term_length", "initial_term_id")
    position = compute_position(*(example[key] for key in keys))
    assert position == example["position"]
    assert position // example["term_length"] % 3 == example["partition"]


@pytest.mark.parametrize("example", EXAMPLES["framed_length"], ids=str)
def test_framed_length_is_that_of_the_specification(example: dict[str, int]) -> None:
    assert framed_length(example["message_length"], example["max_payload"]) == example["framed_length"]


def test_longest_message_is_an_eighth_of_a_term_up_to_16_mib() -> None:
    assert [max_message_length(t) for t in (T, 2**27, 2**30)] == [8192, 2**24, 2**24]


def test_metadata_is_filled_and_default_header_is_that_of_the_specification(log: LogBuffer) -> None:
    metadata = log.metadata
    header = bytes(ffi.buffer(metadata.default_header))
    assert header[:32].hex() == EXAMPLES["default_frame_header"]["hex"]
    assert (metadata.term_length, metadata.mtu_length, metadata.page_size) == (T, 1408, 4096)
    assert (metadata.default_frame_header_length, metadata.correlation_id) == (32, 11)
    assert (metadata.end_of_stream_position, metadata.is_connected) == (2**63 - 1, 0)
    assert (metadata.entity_tag, metadata.response_correlation_id, metadata.sparse) == (-1, -1, 1)


def test_unaligned_field_and_metadata_page_are_where_the_specification_has_them(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LogBuffer.create(path, params(untethered_linger_timeout_ns=0x0102030405060708, page_size=2**21)):
        content = path.read_bytes()
    assert len(content) == 2**21
    assert struct.unpack_from("<q", content, len(content) - 4096 + 500) == (0x0102030405060708,)
    assert struct.unpack_from("<i", content, len(content) - 4096 + 276) == (T,)
    assert not any(content[len(content) - 4096 + 508 :])


def test_image_has_no_tails_and_no_publication_fields(tmp_path: Path) -> None:
    with LogBuffer.create(tmp_path / "log", params(type=LogType.IMAGE)) as log:
        assert list(log.metadata.term_tail_counters) == [0, 0, 0]
        assert (log.metadata.entity_tag, log.metadata.response_correlation_id, log.metadata.type) == (0, 0, 2)


def test_log_opened_by_another_mapping_shares_its_terms(log: LogBuffer, tmp_path: Path) -> None:
    with LogBuffer.open(tmp_path / "11.logbuffer") as other:
        put_frame(log, 2, 64, 96)
        assert frame_at(other, 2, 64)[:4] == b"\x60\0\0\0"
        assert (other.native.session_id, other.native.stream_id) == (-2016354757, 10)
        assert (other.native.initial_term_id, other.native.mtu_length) == (INITIAL, 1408)


def test_files_are_made_with_mode_0666_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        LogBuffer.create(tmp_path / "log", PARAMS).close()
    finally:
        os.umask(before)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_sparse_log_takes_no_storage_and_a_full_one_all_of_it(tmp_path: Path) -> None:
    LogBuffer.create(tmp_path / "sparse", PARAMS).close()
    LogBuffer.create(tmp_path / "full", params(sparse=False)).close()
    assert (tmp_path / "sparse").stat().st_blocks * 512 <= 16384
    assert (tmp_path / "full").stat().st_blocks * 512 >= log_file_length(T, 4096)


def test_existing_file_is_never_overwritten(log: LogBuffer, tmp_path: Path) -> None:
    with pytest.raises(NativeError, match=r"cannot create .*11\.logbuffer.*remove it if no process uses it") as failure:
        LogBuffer.create(tmp_path / "11.logbuffer", PARAMS)
    assert failure.value.code == lib.FL_EEXIST


@pytest.mark.parametrize(
    "changes",
    [
        {"term_length": 2**15},
        {"term_length": 3 * T},
        {"page_size": 2048},
        {"mtu_length": 32},
        {"mtu_length": 1400},
        {"mtu_length": 65536},
        {"starting_term_offset": 16},
        {"starting_term_offset": T + 32},
        {"starting_term_id": INITIAL - 1},
    ],
    ids=str,
)
def test_parameter_out_of_range_leaves_no_file(changes: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(NativeError) as failure:
        LogBuffer.create(tmp_path / "log", params(**changes))
    assert failure.value.code == lib.FL_EINVAL
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("at", "value"), [(276, 2 * T), (276, -T), (276, 2**30), (280, 0), (280, 8192 * 1024), (272, 0), (268, 24)]
)
def test_log_with_metadata_that_does_not_fit_the_file_is_refused(at: int, value: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    LogBuffer.create(path, PARAMS).close()
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, len(content) - 4096 + at, value)
    path.write_bytes(content)
    with pytest.raises(NativeError, match="log buffer"):
        LogBuffer.open(path)


@pytest.mark.parametrize("length", [1, 4095, 4096, 3 * T + 4095])
def test_file_too_short_for_a_log_is_refused(length: int, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(length))
    with pytest.raises(NativeError, match="at least three terms"):
        LogBuffer.open(tmp_path / "log")


def test_closed_log_raises_instead_of_touching_the_mapping(log: LogBuffer) -> None:
    log.close()
    with pytest.raises(FramelaneError, match="LogBuffer is closed"):
        log.term(0)


def test_storage_check_says_what_is_asked_and_what_is_there(tmp_path: Path) -> None:
    is_low, usable = check_storage(tmp_path, 1, 0)
    assert (is_low, usable > 0) == (False, True)
    assert check_storage(tmp_path, 1, 2**62)[0]
    with pytest.raises(
        NativeError, match=r"insufficient usable storage for new log of length=\d+ usable=\d+ in /"
    ) as failure:
        check_storage(tmp_path, 2**62, 0)
    assert failure.value.code == lib.FL_ENOSPC


def test_gap_scan_finds_the_first_gap_and_its_end(log: LogBuffer) -> None:
    put_frame(log, 0, 0, 64)
    put_frame(log, 0, 64, 33)
    put_frame(log, 0, 256, 32)
    assert gap_scan(log, 0, 288) == (128, 128, 128)
    assert gap_scan(log, 0, 128) == (128, 0, 0)
    assert gap_scan(log, 0, 192) == (128, 128, 64), "a gap is cut at the limit"


@pytest.mark.parametrize("length", [2**31 - 1, T, T - 32])
def test_frame_length_beyond_the_term_ends_the_scan_at_the_term(log: LogBuffer, length: int) -> None:
    put_frame(log, 0, 64, length)
    put_frame(log, 0, 0, 64)
    assert gap_scan(log, 0, T) == (T, 0, 0)


def test_negative_frame_length_is_a_gap(log: LogBuffer) -> None:
    put_frame(log, 0, 0, -64)
    put_frame(log, 0, 64, 32)
    assert gap_scan(log, 0, 96) == (0, 0, 64)


def test_gap_is_filled_with_padding_unless_something_arrived(log: LogBuffer) -> None:
    example = EXAMPLES["padding_frame_header"]
    assert lib.fl_log_gap_fill(log.native, example["term_offset"], 1024) == 1
    assert frame_at(log, 0, example["term_offset"]).hex() == example["hex"]
    put_frame(log, 1, 96, 32)
    assert lib.fl_log_gap_fill(log.native, T + 64, 64) == 0
    assert frame_at(log, 1, 64) == bytes(32)
    for position, length in ((T - 32, 64), (0, 0), (0, 33), (16, 32), (-32, 32), (0, 2**31 - 32)):
        assert lib.fl_log_gap_fill(log.native, position, length) == -lib.FL_EINVAL


def test_cleaning_is_bounded_and_stops_at_the_end_of_a_term(log: LogBuffer) -> None:
    for partition in range(3):
        log.term(partition)[:] = b"\xff" * T
    clean = lib.fl_log_clean
    assert clean(log.native, 0, 3 * T, 4096) == 4096
    assert not any(log.term(0)[:4096])
    assert bytes(log.term(0)[4096:4104]) == b"\xff" * 8
    assert clean(log.native, 4096, 3 * T, 2**31 - 1) == T
    assert clean(log.native, T + T - 64, 3 * T, 4096) == 2 * T
    assert not any(log.term(1)[-64:])
    assert bytes(log.term(1)[:-64]) == b"\xff" * (T - 64)
    assert clean(log.native, 2 * T, 2 * T, 4096) == 2 * T
    assert clean(log.native, 2 * T, T, 4096) == 2 * T
    assert bytes(log.term(2)) == b"\xff" * T


def test_claim_of_a_dead_publisher_becomes_padding(log: LogBuffer) -> None:
    set_tail(log, INITIAL, 160)
    put_frame(log, 0, 0, 64)
    put_frame(log, 0, 64, -90)
    assert lib.fl_log_unblock(log.native, 64)
    assert struct.unpack_from("<iBBhii", frame_at(log, 0, 64)) == (90, 0, 0xC0, 0, 64, -2016354757)


@pytest.mark.parametrize("length", [-(2**31), -T, -(2**31) + 1])
def test_claim_with_an_impossible_length_is_padded_to_the_end_of_the_term(log: LogBuffer, length: int) -> None:
    set_tail(log, INITIAL, 160)
    put_frame(log, 0, 64, length)
    assert lib.fl_log_unblock(log.native, 64)
    assert struct.unpack_from("<i", frame_at(log, 0, 64)) == (T - 64,)


def test_publisher_that_died_before_its_mark_is_padded_up_to_the_next_frame(log: LogBuffer) -> None:
    set_tail(log, INITIAL, 256)
    assert not lib.fl_log_unblock(log.native, 0), "there is no safe length"
    put_frame(log, 0, 128, 64)
    assert lib.fl_log_unblock(log.native, 0)
    assert struct.unpack_from("<i", frame_at(log, 0, 0)) == (128,)


def test_publisher_that_died_with_the_tail_at_the_end_is_padded_and_rotated(log: LogBuffer) -> None:
    set_tail(log, INITIAL, T + 96)
    log.metadata.term_tail_counters[1] = (INITIAL - 2) * 2**32
    assert lib.fl_log_unblock(log.native, T - 96)
    assert struct.unpack_from("<i", frame_at(log, 0, T - 96)) == (96,)
    assert (log.metadata.active_term_count, log.metadata.term_tail_counters[1]) == (1, (INITIAL + 1) * 2**32)


def test_publisher_that_died_before_rotating_is_helped_over(log: LogBuffer) -> None:
    set_tail(log, INITIAL, T + 32)
    assert lib.fl_log_unblock(log.native, T)
    assert (log.metadata.active_term_count, log.metadata.term_tail_counters[1]) == (1, (INITIAL + 1) * 2**32)


@pytest.mark.parametrize("count", [0, 1, 2, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("raw_tail", [0, -1, 2**63 - 1, -(2**63), INITIAL * 2**32 + 2**32 - 1])
def test_unblock_under_overwritten_metadata_stays_inside_the_terms(log: LogBuffer, count: int, raw_tail: int) -> None:
    for partition in range(3):
        log.metadata.term_tail_counters[partition] = raw_tail
    log.metadata.active_term_count = count
    log.metadata.term_length = 2**30
    log.metadata.initial_term_id = 7
    outside = bytes(ffi.buffer(log.metadata))[128:]
    for position in (0, 64, T - 32, T, 2 * T - 32, 5 * T, T << 31, -32, 33, 2**63 - 32):
        lib.fl_log_unblock(log.native, position)
    assert bytes(ffi.buffer(log.metadata))[128:] == outside
