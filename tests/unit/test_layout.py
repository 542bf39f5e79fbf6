"""C structs and Python tables against the offsets of the specification."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.shm.cnc import CNC_VERSION, CONTROL_PROTOCOL_VERSION, semantic_version, version_text
from framelane.shm.counter_types import OWN_TYPES, STREAM_LABELS, CounterType
from framelane.shm.figure_types import RESERVED_TYPES, figure_type
from framelane.shm.system_counters import SystemCounter, SystemLabels

ROOT = Path(__file__).parents[2]
LAYOUT: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "layout.json").read_text())
LABELS = SystemLabels(version="<version>", commit="<commit>", threading_mode="DEDICATED")


@pytest.mark.parametrize(
    ("struct", "offsets"),
    [
        ("fl_cnc_metadata_t", LAYOUT["cnc"]["metadata_field_offsets"]),
        ("fl_mpsc_ring_trailer_t", LAYOUT["mpsc_ring"]["trailer_offsets_from_capacity"]),
        ("fl_broadcast_trailer_t", LAYOUT["broadcast"]["trailer_offsets_from_capacity"]),
        ("fl_counter_value_t", LAYOUT["counters"]["value_offsets"]),
        ("fl_counter_metadata_t", LAYOUT["counters"]["metadata_offsets"]),
        ("fl_error_record_t", {k: v for k, v in LAYOUT["error_log"]["offsets"].items() if k != "text"}),
        ("fl_loss_record_t", {k: v for k, v in LAYOUT["loss_report"]["offsets"].items() if "channel" not in k}),
        ("fl_log_metadata_t", LAYOUT["log_buffer"]["metadata_offsets"]),
    ],
)
def test_struct_has_the_offsets_of_the_specification(struct: str, offsets: dict[str, int]) -> None:
    names = {"heartbeat_ms": "consumer_heartbeat_ms"}
    assert {name: ffi.offsetof(struct, names.get(name, name)) for name in offsets} == offsets


def test_lengths_are_those_of_the_specification() -> None:
    assert LAYOUT["cnc"]["metadata_length"] == lib.FL_CNC_METADATA_LENGTH
    assert LAYOUT["mpsc_ring"]["trailer_length"] == lib.FL_MPSC_RING_TRAILER_LENGTH
    assert LAYOUT["broadcast"]["trailer_length"] == lib.FL_BROADCAST_TRAILER_LENGTH
    assert LAYOUT["counters"]["value_record_length"] == lib.FL_COUNTER_VALUE_LENGTH
    assert LAYOUT["counters"]["metadata_record_length"] == lib.FL_COUNTER_METADATA_LENGTH
    assert LAYOUT["error_log"]["header_length"] == lib.FL_ERROR_RECORD_HEADER_LENGTH
    assert LAYOUT["loss_report"]["header_length"] == lib.FL_LOSS_RECORD_HEADER_LENGTH
    assert LAYOUT["log_buffer"]["metadata_length"] == lib.FL_LOG_METADATA_LENGTH
    assert LAYOUT["log_buffer"]["metadata_struct_length"] == lib.FL_LOG_METADATA_USED_LENGTH
    assert LAYOUT["data_frame"]["header_length"] == lib.FL_DATA_HEADER_LENGTH


def test_versions_are_those_of_the_specification() -> None:
    assert (LAYOUT["cnc"]["version"], LAYOUT["control_protocol_version"]) == (CNC_VERSION, CONTROL_PROTOCOL_VERSION)
    for example in LAYOUT["examples"]["semantic_version"]:
        major, minor, patch = map(int, example["text"].split("."))
        assert semantic_version(major, minor, patch) == example["value"]
        assert version_text(example["value"]) == example["text"]


@pytest.mark.parametrize("row", LAYOUT["counters"]["system_counters"], ids=lambda row: str(row["id"]))
def test_system_counter_has_the_label_of_the_specification(row: dict[str, Any]) -> None:
    suffix = {25: ": driverName=", 33: ": threshold=5s"}.get(
        row["id"],
        row.get("label_suffix", "").replace("<threading mode>", "DEDICATED").replace("<duration>", "100ms"),
    )
    assert LABELS.label(SystemCounter(row["id"])) == row["label"] + suffix


def test_counter_types_and_stream_labels_are_those_of_the_specification() -> None:
    types = {row["type_id"]: row for row in LAYOUT["counters"]["types"]}
    own = {row.type for row in OWN_TYPES}
    assert set(CounterType) - own == set(types)
    assert all(7700 <= type_id <= 7799 for type_id in own)
    for type_id, prefix in STREAM_LABELS.items():
        assert types[type_id]["label"].startswith(prefix + ": {registration_id} {session_id} {stream_id} {channel}")


def test_documented_table_of_own_counters_is_the_one_in_the_code() -> None:
    text = (ROOT / "docs" / "counters.md").read_text()
    for row in OWN_TYPES:
        assert f"| {row.type.value} | `{row.label}` | {row.key} | {row.value} |" in text


def test_documented_table_of_reserved_types_is_the_one_in_the_code() -> None:
    text = (ROOT / "docs" / "counters.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+) \| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [
        (row.transport, str(row.type_id), row.name, ", ".join(f"`{figure}`" for figure in row.figures))
        for row in RESERVED_TYPES
    ]


def test_a_figure_has_the_type_that_aeron_reserves_for_it_and_no_other_transport_has() -> None:
    assert figure_type("dpdk-rx-fragments") == 90
    assert figure_type("dpdk-xstat-rx_good_packets") == 92
    assert figure_type("xdp-rx-fragments") == figure_type("dpdk-neighbours") == CounterType.TRANSPORT_FIGURE


def test_the_table_of_system_counters_is_in_the_documentation() -> None:
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| .+ \|$", (ROOT / "docs" / "counters.md").read_text(), re.MULTILINE)
    labels = SystemLabels(version="V", commit="C", threading_mode="MODE")
    expected = [re.sub("threshold=[^ ]+", "threshold=T", labels.label(counter)) for counter in SystemCounter]
    assert [label for number, label in rows if int(number) < 7700] == expected
    assert [int(number) for number, _ in rows if int(number) < 7700] == list(SystemCounter)
