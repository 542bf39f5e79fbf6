"""Commands and events against the sample encodings of the specification."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.protocol.codec import MessageError
from framelane.protocol.commands import COMMANDS, CommandError, RejectImage, RemovePublication, decode_command
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import EVENTS, EventError, PublicationError, decode_event

VECTORS = Path(__file__).parents[1] / "vectors"
MESSAGES: list[dict[str, Any]] = json.loads((VECTORS / "control-messages.json").read_text())["messages"]
LAYOUT: dict[str, Any] = json.loads((VECTORS / "layout.json").read_text())
MESSAGE = pytest.mark.parametrize("message", MESSAGES, ids=[m["name"] for m in MESSAGES])


def decode(message: dict[str, Any], body: bytes) -> Any:
    return (decode_command if message["direction"] == "to_driver" else decode_event)(message["type_id"], body)


def expected_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of a sample that are not lengths or slack, as they are decoded."""
    skipped = ("_padding", "_length", "terminator_and_slack")
    fields = {f["name"]: f for f in message["fields"] if not f["name"].endswith(skipped)}
    values = {}
    for name, f in fields.items():
        values[name] = bytes.fromhex(f["value"]) if f["type"] == "bytes" else f["value"]
        if name == "token":
            values[name] = f["value"].encode()
    return values


@MESSAGE
def test_sample_decodes_to_its_fields(message: dict[str, Any]) -> None:
    decoded = decode(message, bytes.fromhex(message["payload_hex"]))
    for name, value in expected_fields(message).items():
        assert getattr(decoded, name) == value, name


@MESSAGE
def test_sample_is_what_its_fields_encode_to(message: dict[str, Any]) -> None:
    body = bytes.fromhex(message["payload_hex"])
    encoded = decode(message, body).encode()
    if message["name"] == "REMOVE_PUBLICATION/legacy":
        assert encoded == body + bytes(8)
    elif message["name"] == "REJECT_IMAGE/c":
        assert encoded == body[:-5]
    else:
        assert encoded == body


@MESSAGE
def test_sample_cut_anywhere_is_refused(message: dict[str, Any]) -> None:
    body = bytes.fromhex(message["payload_hex"])
    shortest = len(body) - (5 if message["name"] == "REJECT_IMAGE/c" else 0)
    for length in range(shortest):
        if message["type_id"] == RemovePublication.TYPE and length == 24:
            continue
        with pytest.raises((CommandError, EventError), match=r"too short|has a length"):
            decode(message, body[:length])


def test_type_ids_and_error_codes_are_those_of_the_layout() -> None:
    assert {c.TYPE.name: type_id for type_id, c in COMMANDS.items()} == LAYOUT["command_type_ids"]
    assert {e.TYPE.name: type_id for type_id, e in EVENTS.items()} == LAYOUT["event_type_ids"]
    assert {code.name: code.value for code in ErrorCode} == LAYOUT["error_codes"]


def test_malformed_command_names_its_code_text_and_correlation_id() -> None:
    body = bytes.fromhex(MESSAGES[0]["payload_hex"])[:23]
    with pytest.raises(CommandError, match=r"^command=1 too short: length=23$") as failure:
        decode_command(1, body)
    assert (failure.value.code, failure.value.correlation_id) == (ErrorCode.MALFORMED_COMMAND, 42)
    with pytest.raises(CommandError, match=r"^command=99 unknown$") as failure:
        decode_command(99, b"")
    assert (failure.value.code, failure.value.correlation_id) == (ErrorCode.UNKNOWN_COMMAND_TYPE_ID, None)


def test_publication_error_with_a_short_text_is_padded_for_c_clients() -> None:
    event = PublicationError(1, -1, 2, 3, 4, -1, 1, 40123, bytes(16), 13, "no")
    assert len(event.encode()) == LAYOUT["fixed_part_lengths"]["publication_error_min_accepted_by_c_client"]
    assert decode_event(event.TYPE, event.encode()) == event


def test_rejection_with_an_over_long_reason_is_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="at most 1023"):
        RejectImage(1, 2, 3, 4, "x" * 1024).encode()
    body = (
        RejectImage(1, 2, 3, 4, "x" * 1023).encode().replace((1023).to_bytes(4, "little"), (1024).to_bytes(4, "little"))
    )
    with pytest.raises(CommandError, match="reason has a length of 1024") as raised:
        decode_command(RejectImage.TYPE, body + b"x")
    assert (raised.value.code, raised.value.correlation_id) == (ErrorCode.GENERIC_ERROR, 2)


@given(type_id=st.integers(-(2**31), 2**31 - 1) | st.sampled_from(sorted(COMMANDS)), body=st.binary(max_size=200))
def test_hostile_command_decodes_or_is_refused_and_never_reads_past_its_end(type_id: int, body: bytes) -> None:
    try:
        command = decode_command(type_id, body)
    except CommandError as error:
        assert error.code in (ErrorCode.MALFORMED_COMMAND, ErrorCode.UNKNOWN_COMMAND_TYPE_ID)
        return
    assert decode_command(type_id, command.encode()) == command
    assert len(command.encode()) <= len(body) + 8


@given(message=st.sampled_from(MESSAGES), at=st.integers(0, 2**16), value=st.integers(0, 255))
def test_sample_with_one_byte_changed_decodes_or_is_refused(message: dict[str, Any], at: int, value: int) -> None:
    body = bytearray.fromhex(message["payload_hex"])
    body[at % len(body)] = value
    try:
        decoded = decode(message, bytes(body))
    except (CommandError, EventError):
        return
    assert decode(message, decoded.encode()) == decoded


def test_text_survives_whatever_bytes_a_client_sends() -> None:
    raw = bytes(range(256))
    body = bytes(16) + (5).to_bytes(4, "little") + len(raw).to_bytes(4, "little") + raw
    command = decode_command(1, body)
    assert command.encode() == body
    with pytest.raises(MessageError):
        type(command).decode(body[:-1])
