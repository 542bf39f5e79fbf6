"""``framelane bench`` as people and scripts run it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.processes import processes_of_session

QUICK = ("--seconds", "0.02", "--runs", "1")
MAIN = (sys.executable, "-c", "from framelane.cli import main; main()", "bench")
MESSAGES = [32, 288, 1344, "mixed"]
RATE_FLOORS = ["raw sendto/recvfrom", "raw sendmmsg/recvmmsg", "raw UDP_SEGMENT/UDP_GRO"]
KEYS = {"name", "message_length", "direction", "median", "min", "max", "unit", "floor_name", "floor_median", "ratio"}
KEYS |= {"handovers_ns"}


def start(*arguments):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
    return subprocess.Popen(
        [*MAIN, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*arguments, code=0):
    process = start(*arguments)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == code, errors
    assert processes_of_session(process.pid) == []
    assert not list(Path("/run/netns").glob(f"framelane-{process.pid}-*"))
    return output, errors


def document(*arguments):
    output, errors = run(*arguments, *QUICK, "--json")
    assert errors == ""
    return json.loads(output)


def expected_floors(length):
    if length == "mixed":
        return RATE_FLOORS[:2]
    return RATE_FLOORS[:1] if length == 65504 else RATE_FLOORS


def check(found, name, lengths, directions, floors_of, unit="messages/s"):
    """Check everything that can be said of any machine's results."""
    assert (found["benchmark"], found["transport"]) == (name, "sockets")
    assert set(found["host"]) == {"kernel", "machine", "cores"}
    keys = [(one["direction"], one["message_length"], one["floor_name"]) for one in found["results"]]
    assert keys == [
        (direction, length, floor) for direction in directions for length in lengths for floor in floors_of(length)
    ]
    for one in found["results"]:
        assert set(one) >= KEYS
        assert one["name"] == f"sockets {name}" and one["unit"] == unit
        assert 0 < one["min"] <= one["median"] <= one["max"]
        ours, floor = one["median"], one["floor_median"]
        assert one["ratio"] == pytest.approx(ours / floor if unit == "messages/s" else floor / ours)
        assert one["cpu_s_per_million"] > 0
        assert 0 <= one["loss"] < 1
        shortest, longest = one["handovers_ns"] or (1, 1)  # none where both sides shared a processor
        assert 0 < shortest <= longest
        if unit == "messages/s" and one["message_length"] != "mixed":
            assert one["bytes_per_second"] == pytest.approx(ours * one["message_length"])
    return found["results"]


def test_frames_has_a_result_for_each_length_direction_and_floor():
    lengths = [64, 320, 1408, "mixed", 65504]
    results = check(document("frames"), "frames", lengths, ["forward", "backward"], expected_floors)
    for one in results:
        # Sent and received, so two calls for a datagram of its own, and a small part of them in long runs.
        # Of those sent: a receiver that waits for its processor loses some, and each has cost a call.
        calls = one["system_calls_per_message"] * (1 - one["loss"])
        assert 0 < calls <= (2.5 if one["message_length"] in ("mixed", 65504) else 0.8)


def test_throughput_has_a_result_for_each_length_direction_and_floor():
    results = check(document("throughput"), "throughput", MESSAGES, ["forward"], expected_floors)
    assert all(0 < one["system_calls_per_message"] < 3 and one["loss"] == 0 for one in results)


def test_latency_has_percentiles_in_order():
    results = check(
        document("latency"), "latency", MESSAGES, ["round trip"], lambda _: ["raw UDP ping/pong"], unit="us"
    )
    for one in results:
        percentiles = list(one["percentiles_us"].values())
        assert list(one["percentiles_us"]) == ["p50", "p90", "p99", "p99.9", "max"]
        assert percentiles == sorted(percentiles) and one["median"] == percentiles[0]
        # There and back, each sent and received; drivers that wait for a processor show their last calls too late.
        assert one["system_calls_per_message"] >= 3.5


def test_ipc_has_a_result_for_each_length():
    results = check(document("ipc"), "ipc", MESSAGES, ["forward"], lambda _: ["memcpy through a shared ring"])
    assert all(one["system_calls_per_message"] is None and one["loss"] == 0 for one in results)


@pytest.mark.root
@pytest.mark.parametrize("name", ["frames", "throughput"])
def test_a_veth_pair_is_measured_in_both_directions_and_removed(name):
    lengths = [1408, "mixed"] if name == "frames" else [1344, "mixed"]
    words = [word for length in lengths for word in ("--length", str(length))]
    check(document(name, "--veth", *words), name, lengths, ["forward", "backward"], expected_floors)


DEVICES = {
    "dpdk": ["dpdk ring frames", "dpdk memif frames"],
    "xdp": ["xdp frames"],
}
DEVICE_LENGTHS: dict[str, int | str] = {"dpdk": 64, "xdp": "mixed"}
DEVICE_FLOORS = {"dpdk": "raw DPDK bursts, batch ", "xdp": "raw AF_XDP rings, batch "}


@pytest.mark.root
@pytest.mark.parametrize("transport", DEVICES)
def test_a_device_has_a_result_for_each_arrangement_with_checksums_and_without(transport):
    pytest.importorskip(f"framelane_{transport}._native")
    length = DEVICE_LENGTHS[transport]
    found = document("frames", "--transport", transport, "--length", str(length))

    assert (found["benchmark"], found["transport"]) == ("frames", transport)
    keys = [(one["name"], one["direction"], one["message_length"]) for one in found["results"]]
    assert sorted(map(str, keys)) == sorted(
        str((name + without, direction, length))
        for name in DEVICES[transport]
        for without in ("", " without UDP checksums")
        for direction in ("forward", "backward")
    )
    for one in found["results"]:
        assert set(one) >= KEYS
        assert 0 < one["min"] <= one["median"] <= one["max"] and one["floor_median"] > 0
        assert one["ratio"] == pytest.approx(one["median"] / one["floor_median"])
        assert one["cpu_s_per_million"] > 0 and 0 <= one["loss"] < 1
        batch = one["floor_name"].removeprefix(DEVICE_FLOORS[transport])
        assert int(batch) in (32, 64, 128, 256)
        if one["message_length"] != "mixed":
            assert one["bytes_per_second"] == pytest.approx(one["median"] * one["message_length"])


def test_a_device_chooses_its_ends_itself():
    pytest.importorskip("framelane_dpdk")
    _, errors = run("frames", "--transport", "dpdk", "--veth", *QUICK, code=1)
    assert errors == ("framelane: transport 'dpdk' says itself between which ends it is measured: leave out --veth\n")


def test_the_table_shows_rate_loss_cost_and_ratio():
    output, _ = run("latency", "--length", "32", *QUICK)
    for word in ("median", "CPU s/M", "calls/msg", "raw UDP ping/pong", "ratio", "p99.9"):
        assert word in output
    output, _ = run("ipc", "--length", "mixed", *QUICK)
    for word in ("bytes/s", "loss", "0.0%", "memcpy through a shared ring"):
        assert word in output


def test_a_length_that_a_benchmark_has_not_got_is_answered_with_those_it_has():
    _, errors = run("latency", "--length", "33", *QUICK, code=1)
    assert errors == "framelane: --length 33: `bench latency` measures 32, 288, 1344, mixed\n"


def test_a_plot_is_a_png_or_a_clear_error_before_anything_is_measured(tmp_path):
    picture = tmp_path / "ipc.png"
    if importlib.util.find_spec("matplotlib") is None:
        began = time.monotonic()
        _, errors = run("ipc", "--seconds", "5", "--runs", "9", "--plot", str(picture), code=1)
        assert errors == "framelane: --plot needs matplotlib: pip install 'framelane[plot]', or leave --plot out\n"
        assert time.monotonic() - began < 60
    else:
        run("ipc", "--length", "32", *QUICK, "--plot", str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")


def test_a_transport_that_is_not_installed_is_one_message():
    _, errors = run("throughput", "--transport", "efiv", *QUICK, code=1)
    assert errors.startswith("framelane: transport 'efiv' is not installed; installed: ")
    assert len(errors.splitlines()) == 1


def test_a_driver_that_does_not_start_is_one_message():
    process = subprocess.run(
        [*MAIN, "throughput", *QUICK],
        env={**os.environ, "AERON_MTU_LENGTH": "33"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("framelane: the benchmark's driver did not start: ")
    assert "mtu_length" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        (("throughput", "--seconds", "5"), 5),  # the command, two drivers and two workers
        (("frames", "--transport", "dpdk", "--seconds", "5"), 2),  # the command and one worker for both ends
    ],
)
def test_an_interrupt_leaves_no_process_and_no_files(number, arguments, processes):
    if "dpdk" in arguments:
        pytest.importorskip("framelane_dpdk._native")
    process = start(*arguments)
    deadline = time.monotonic() + 60
    while len(processes_of_session(process.pid)) < processes:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)

    os.killpg(process.pid, number)  # as a terminal does

    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors
    assert processes_of_session(process.pid) == []
    assert not list(Path("/dev/shm").glob(f"framelane-bench-{process.pid}-*"))
