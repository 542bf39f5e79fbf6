"""Whole drivers over ef_vi, on the stand-in for its library: streams and files, in both receive models."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from framelane.driver.verdicts import read_verdicts
from framelane.shm.system_counters import SystemCounter
from support.ends import KINDS, LEFT, RIGHT, Ends, channel, check_served_by, figures
from support.exchange import exchange
from support.namespaces import Link
from support.processes import Processes, wait_until
from support.transfers import ENVIRONMENT, move_file

MIB = 1024 * 1024
#: A sender and a receiver thread, each with a virtual interface of its own.
DEDICATED = {"AERON_THREADING_MODE": "DEDICATED"}

pytestmark = pytest.mark.root


@pytest.mark.parametrize("models", [("efvi x2522", "efvi x3522"), ("efvi x3522", "sockets")], ids=" and ".join)
def test_streams_of_every_kind_arrive_as_they_were_sent(
    processes: Processes, shared: Path, link: Link, models: tuple[str, str], seed: int
) -> None:
    left, right = Ends(processes, shared, link, models, settings=DEDICATED).start()
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


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, loss: float, seed: int
) -> None:
    models = ("efvi x2522", "efvi x3522")
    left, right = Ends(processes, shared, link, models, settings=DEDICATED).start(loss, seed)
    move_file(processes, shared, left, right, channel("IPv4", RIGHT), 16 * MIB, seed, 60)
    check_served_by(left, models[0])
    check_served_by(right, models[1])
    if loss:
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert right.count(SystemCounter.NAK_MESSAGES_SENT) > 0


def test_adapters_that_are_lost_under_a_stream_leave_it_to_sockets_and_nothing_is_missing(
    processes: Processes, shared: Path, link: Link
) -> None:
    control = shared / "control"
    settings = {"FRAMELANE_CIUL_CONTROL": str(control), "AERON_IMAGE_LIVENESS_TIMEOUT": "60s"}
    ends = Ends(processes, shared, link, ("efvi x2522", "efvi x3522"), settings=DEDICATED | settings, required=False)
    left, right = ends.start()
    programs = {}
    for what, driver in (("subscribe", right), ("publish", left)):
        words = [sys.executable, "-m", "support.number_stream", what, driver.directory, channel("IPv4", RIGHT), "120"]
        programs[what] = processes.start(what, words, environment=ENVIRONMENT)
    subscriber = programs["subscribe"]
    subscriber.wait_for("first")
    check_served_by(left, "efvi x2522")

    beside = shared / "control.new"
    beside.write_text("eth0 lost=1\n")
    beside.replace(control)

    for driver in (left, right):
        wait_until(
            lambda d=driver: {one.transport for one in read_verdicts(d.cnc.counters())} == {"sockets"}, "sockets"
        )
        (endpoint,) = read_verdicts(driver.cnc.counters())
        assert "ef_vi on eth0: the adapter was reset, or taken out" in dict(endpoint.passed_over)["efvi"]

    def intervals_with_messages() -> int:
        lines = [line.split() for line in subscriber.output.splitlines()]
        return sum(words[0] == "rate" and int(words[1]) > 0 for words in lines if len(words) == 2)

    before = intervals_with_messages()
    wait_until(lambda: intervals_with_messages() > before + 2, "messages over sockets")
    subscriber.kill(signal.SIGUSR1)  # it ends with an error if a message was missing
    subscriber.succeed()
