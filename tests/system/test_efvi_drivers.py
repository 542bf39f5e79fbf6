"""Whole drivers over ef_vi, on the stand-in for its library: streams and files, in both receive models."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.ends import KINDS, LEFT, RIGHT, Ends, channel, check_served_by, figures
from support.exchange import exchange
from support.namespaces import Link, inside, run_in
from support.processes import Processes, wait_until
from support.stamped_stream import PLACES, check_stamps, exchange_one_by_one
from support.transfers import move_file
from support.watched_stream import watch_stream

MIB = 1024 * 1024
#: A sender and a receiver thread, each with a virtual interface of its own.
DEDICATED = {"AERON_THREADING_MODE": "DEDICATED"}

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    "models",
    [("efvi x2522", "efvi x3522"), pytest.param(("efvi x3522", "sockets"), marks=pytest.mark.acceptance)],
    ids=" and ".join,
)
def test_streams_of_every_kind_arrive_as_they_were_sent_and_messages_have_the_adapter_s_times(
    processes: Processes, shared: Path, link: Link, models: tuple[str, str], seed: int
) -> None:
    left, right = Ends(processes, shared, link, models, settings=DEDICATED, device="timestamps = true\n").start()
    lanes = {kind: (left.directory, right.directory, channel(kind, RIGHT, 40100 + i)) for i, kind in enumerate(KINDS)}
    lanes |= {
        f"{kind} to the left": (right.directory, left.directory, channel(kind, LEFT, 40200 + i))
        for i, kind in enumerate(KINDS)
    }
    exchange(lanes, 2 * MIB, seed)
    for driver, transport in ((left, models[0]), (right, models[1])):
        check_served_by(driver, transport)
    wait_until(lambda: figures(left).get("efvi-tx-frames"), "figures of the adapter")
    assert figures(left)["efvi-rx-discard"] == figures(left)["efvi-unknown-events"] == 0
    shown = [label for label in left.labels() if label.startswith(("efvi-port: eth0", "efvi-transport: eth0"))]
    assert len(shown) == 3

    clock = "software" if models[1] == "sockets" else "hardware"
    for number, places in enumerate(PLACES.values()):
        there = f"{channel('IPv4', RIGHT, 40300 + number)}|{places.parameters}"
        check_stamps(exchange_one_by_one(left, right, there, count=50, clock=clock), places)


@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("length", [8 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("models", [("efvi x2522", "efvi x3522"), ("efvi x2522", "sockets")], ids=" and ".join)
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, models: tuple[str, str], length: int, loss: float, seed: int
) -> None:
    left, right = Ends(processes, shared, link, models, settings=DEDICATED).start(loss, seed)
    move_file(processes, shared, left, right, channel("IPv4", RIGHT), length, seed, 1800 if length > 64 * MIB else 60)
    check_served_by(left, models[0])
    check_served_by(right, models[1])
    if loss:
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert right.count(SystemCounter.NAK_MESSAGES_SENT) > 0


def test_pings_and_a_socket_of_the_kernel_lose_nothing_beside_a_stream_over_ef_vi(
    processes: Processes, shared: Path, link: Link
) -> None:
    models = ("efvi x2522", "efvi x3522")
    left, right = Ends(processes, shared, link, models, settings=DEDICATED).start()
    # No more is under way than a veth holds, with room for others.
    stream = watch_stream(processes, {"left": left, "right": right}, channel("IPv4", RIGHT) + "|rcv-wnd=65536")

    with inside(link.right):
        answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inside(link.left):
        asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asks, answers:
        answers.bind((RIGHT[0], 40124))
        asks.connect((RIGHT[0], 40124))
        for one in (asks, answers):
            one.settimeout(10)
        for number in range(1000):
            asks.send(b"%d" % number)
            question, asker = answers.recvfrom(100)
            answers.sendto(question, asker)
            assert asks.recv(100) == b"%d" % number
    for host in (*LEFT, *RIGHT):
        namespace = link.right if host in LEFT else link.left
        told = run_in(namespace, "ping", "-q", "-c", "100", "-i", "0.005", "-W", "10", host)
        assert "100 packets transmitted, 100 received" in told

    stream.goes_on()
    stream.finish()
    for driver, transport in ((left, models[0]), (right, models[1])):
        check_served_by(driver, transport)


def test_adapters_that_are_lost_under_a_stream_leave_it_to_sockets_and_nothing_is_missing(
    processes: Processes, shared: Path, link: Link
) -> None:
    control = shared / "control"
    settings = {"FRAMELANE_CIUL_CONTROL": str(control), "AERON_IMAGE_LIVENESS_TIMEOUT": "60s"}
    ends = Ends(processes, shared, link, ("efvi x2522", "efvi x3522"), settings=DEDICATED | settings, required=False)
    left, right = ends.start()
    stream = watch_stream(processes, {"left": left, "right": right}, channel("IPv4", RIGHT))
    assert {stream.endpoint(side).transport for side in ("left", "right")} == {"efvi"}

    beside = shared / "control.new"
    beside.write_text("eth0 lost=1\n")
    beside.replace(control)

    for side in ("left", "right"):
        wait_until(lambda side=side: stream.endpoint(side).transport == "sockets", "fail-over")
        passed = dict(stream.endpoint(side).passed_over)
        assert "ef_vi on eth0: the adapter was reset, or taken out" in passed["efvi"]
        (port,) = [one for one in stream.drivers[side].cnc.counters() if one.label.startswith("efvi-port: ")]
        assert (port.type_id, port.value) == (50, 0), "its link is gone"
    stream.goes_on()
    stream.finish()
