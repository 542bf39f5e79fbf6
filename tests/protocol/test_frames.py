"""Wire frames against the sample encodings of the specification: decoding in Python, checking in C."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane._native import ffi, lib
from framelane.protocol.frames import (
    DataFlag,
    DataFrame,
    FrameError,
    FrameType,
    NakFrame,
    ResFrame,
    SetupFrame,
    StatusMessage,
    decode_datagram,
    encode_datagram,
)

FILE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "wire-frames.json").read_text())
TERM_LENGTH: int = FILE["assumptions"]["term_length"]
VALID = [v for v in FILE["vectors"] if v["valid"]]
DATA = DataFrame(DataFlag.BEGIN | DataFlag.END, 44, FrameType.DATA, 0, 1, 2, 3, payload=b"hello aeron!")

#: What the check says of each invalid sample.
REASONS = {
    "invalid_version": "version",
    "invalid_unaligned_data_datagram": "alignment",
    "invalid_negative_frame_length": "frame-length",
    "invalid_data_second_frame_offset": "term-offset",
    "invalid_setup_short": "short",
    "invalid_setup_term_length": "term-length",
    "invalid_nak_range": "term-end",
    "invalid_sm_window": "window",
    "invalid_err_length": "error-text",
    "invalid_unknown_type": "type",
}


def check(datagram: bytes, term_length: int = TERM_LENGTH) -> int | str:
    """The type of a datagram's first frame, or why it is refused."""
    held = ffi.new("uint8_t[]", datagram)  # exactly as long as the datagram, so that a sanitizer sees a read past it
    result = int(lib.fl_frame_check(held, len(datagram), term_length))
    return result if result >= 0 else ffi.string(lib.fl_invalid_name(-result)).decode()


def extent(datagram: bytes) -> int:
    return int(lib.fl_frame_extent(datagram, len(datagram), TERM_LENGTH))


@pytest.mark.parametrize("vector", VALID, ids=[v["name"] for v in VALID])
def test_sample_decodes_to_its_fields_and_back(vector: dict[str, Any]) -> None:
    datagram = bytes.fromhex(vector["hex"])
    frames = decode_datagram(datagram)
    expected = vector["fields"]["frames"] if "frames" in vector["fields"] else [vector["fields"]]
    assert len(frames) == len(expected)
    for frame, fields in zip(frames, expected, strict=True):
        for name, value in fields.items():
            if name == "payload_hex":
                assert frame.payload.hex() == value
            elif name == "error_text":
                assert frame.error_text.decode() == value
            elif name == "entries":
                assert isinstance(frame, ResFrame)
                found = [(str(e.address), e.name.decode(), e.udp_port, e.age_in_ms, e.res_flags) for e in frame.entries]
                wanted = [(e["address"], e["name"], e["udp_port"], e["age_in_ms"], e["res_flags"]) for e in value]
                assert found == wanted
            elif hasattr(frame, name):
                assert getattr(frame, name) == value, name
    assert encode_datagram(*frames) == datagram


@pytest.mark.parametrize("vector", VALID, ids=[v["name"] for v in VALID])
def test_valid_sample_passes_the_check(vector: dict[str, Any]) -> None:
    term_length = vector["fields"].get("term_length", TERM_LENGTH)
    assert check(bytes.fromhex(vector["hex"]), term_length) == FrameType[vector["frame"]]


@pytest.mark.parametrize(("name", "reason"), REASONS.items(), ids=list(REASONS))
def test_invalid_sample_is_refused_for_its_reason(name: str, reason: str) -> None:
    (vector,) = [v for v in FILE["vectors"] if v["name"] == name]
    assert check(bytes.fromhex(vector["hex"])) == reason


def test_every_invalid_sample_has_a_reason_here() -> None:
    assert set(REASONS) == {v["name"] for v in FILE["vectors"] if not v["valid"]}


def test_walk_counts_a_pad_at_its_whole_extent_and_a_heartbeat_as_nothing() -> None:
    vectors = {v["name"]: bytes.fromhex(v["hex"]) for v in VALID}
    assert extent(vectors["data_unfragmented"]) == 64
    assert extent(vectors["data_two_frames_one_datagram"]) == 128
    assert extent(vectors["data_then_pad_tail"]) == 64 + 224
    assert extent(vectors["pad_header_only"]) == 224
    assert extent(vectors["heartbeat_eos"]) == 0


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([replace(DATA, term_offset=-32)], "term-offset"),
        ([replace(DATA, term_offset=TERM_LENGTH)], "term-offset"),
        ([replace(DATA, term_offset=16)], "term-offset"),
        ([replace(DATA, frame_length=2**31 - 1)], "term-end"),
        ([replace(DATA, term_offset=TERM_LENGTH - 32)], "term-end"),
        ([replace(DATA, frame_length=31)], "data-frame"),
        ([replace(DATA, frame_length=96)], "walk-length"),
        ([DATA, replace(DATA, term_offset=64, frame_length=0)], "data-frame"),
        ([DATA, replace(DATA, term_offset=64, frame_length=-1)], "data-frame"),
        ([DATA, replace(DATA, term_offset=64, type=FrameType.NAK)], "data-frame"),
        ([replace(DATA, frame_length=2**31 - 1, type=FrameType.PAD, payload=b"")], "term-end"),
        ([NakFrame(0, 1, 2, 3, 0, -1)], "nak-length"),
        ([NakFrame(0, 1, 2, 3, 0, 2**31 - 1)], "term-end"),
        ([StatusMessage(0, 1, 2, 3, 0, -1, 5)], "window"),
        ([StatusMessage(0, 1, 2, 3, TERM_LENGTH, 0, 5)], "term-offset"),
        ([SetupFrame(0, 0, 1, 2, 3, 3, 2**31 - 2**30, 33, 0)], "mtu"),
        ([SetupFrame(0, 0, 1, 2, 3, 3, -(2**31), 1408, 0)], "term-length"),
        ([SetupFrame(0, 65536, 1, 2, 3, 3, 65536, 1408, 0)], "term-offset"),
    ],
)
def test_frame_that_would_lead_out_of_its_term_is_refused(frames: list[Any], reason: str) -> None:
    assert check(encode_datagram(*frames)) == reason


def test_resolution_entry_without_its_last_padding_is_accepted_and_a_cut_one_refused() -> None:
    vectors = {v["name"]: bytes.fromhex(v["hex"]) for v in VALID}
    datagram = vectors["res_self_ipv4"]
    assert check((30).to_bytes(4, "little") + datagram[4:30]) == FrameType.RES
    assert check((29).to_bytes(4, "little") + datagram[4:29]) == "res-entry"


def test_group_tag_of_a_shorter_status_message_is_not_read() -> None:
    vectors = {v["name"]: bytes.fromhex(v["hex"]) for v in VALID}
    assert check(vectors["sm_with_group_tag"][:36]) == "frame-length"


@given(
    st.binary(max_size=300)
    | st.builds(lambda v, tail: bytes.fromhex(v["hex"]) + tail, st.sampled_from(VALID), st.binary())
)
def test_random_datagram_is_checked_without_reading_past_it(datagram: bytes) -> None:
    result = check(datagram)
    if isinstance(result, str):
        return
    assert result in set(FrameType)
    if result in (FrameType.DATA, FrameType.PAD):
        assert 0 <= extent(datagram) <= TERM_LENGTH


@given(vector=st.sampled_from(VALID), changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_mutated_sample_that_passes_the_check_also_decodes(
    vector: dict[str, Any], changes: list[tuple[int, int]]
) -> None:
    datagram = bytearray.fromhex(vector["hex"])
    for at, value in changes:
        datagram[at % len(datagram)] = value
    result = check(bytes(datagram))
    if isinstance(result, str):
        return
    assert decode_datagram(bytes(datagram))


def test_decoder_says_what_is_wrong() -> None:
    with pytest.raises(FrameError, match="version 7"):
        decode_datagram(bytes([8, 0, 0, 0, 7, 0, 1, 0]))
    with pytest.raises(FrameError, match="datagram of 3 bytes"):
        decode_datagram(b"abc")
