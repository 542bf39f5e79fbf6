"""Times that drivers put into messages (wire 6), as the stock C client and as ours have them (issue 4: seen 8)."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from support.ends import RIGHT, Ends, channel, check_served_by
from support.namespaces import Link
from support.processes import Processes
from support.stamped_stream import PLACES, STREAM_ID, check_stamps, exchange_one_by_one, read_printed

pytestmark = [pytest.mark.interop, pytest.mark.root]

COUNT = 500
PAIRS = [
    ("sockets", "sockets"),
    ("stock", "sockets"),
    ("sockets", "stock"),
    ("efvi x2522", "efvi x3522"),
    ("efvi x3522", "efvi x2522"),
    ("stock", "efvi x2522"),
    ("stock", "efvi x3522"),
    ("efvi x2522", "stock"),
    ("efvi x3522", "stock"),
]
#: Of the times of arrival, as ours tells; a stock driver does not.
CLOCKS = {"efvi": "hardware", "sockets": "software", "stock": ""}
#: Agents that look for work all the time, and yet leave the processor to others.
AWAKE = {"AERON_THREADING_MODE": "SHARED", "AERON_SHARED_IDLE_STRATEGY": "sleep-ns"}


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_a_stock_client_and_ours_find_the_same_times_within_1_ms_of_the_clock(
    processes: Processes, shared: Path, link: Link, peers: Path, stock_view: Path, pair: tuple[str, str]
) -> None:
    transports = pair[0].replace("stock", "sockets"), pair[1].replace("stock", "sockets")
    programs = tuple(peers / "aeronmd" if one == "stock" else None for one in pair)
    left, right = Ends(
        processes, shared, link, transports, settings=AWAKE, programs=programs, device="timestamps = true\n"
    ).start()
    for number, places in enumerate(PLACES.values()):
        there = f"{channel('IPv4', RIGHT, 40300 + number)}|{places.parameters}"
        printer = processes.start("stock_view", [stock_view, right.directory, there, str(STREAM_ID), str(COUNT)])
        printer.wait_for("ready")

        ours = exchange_one_by_one(left, right, there, count=COUNT, clock=CLOCKS[pair[1].split()[0]])
        theirs = read_printed(printer.succeed())

        assert [one[1:] for one in theirs] == [one[1:] for one in ours]
        for whose, seen in (("ours", ours), ("stock", theirs)):
            apart_ns = check_stamps(seen, places)
            print(f"{places}, {whose}: the clock was read {median(apart_ns) / 1000:.0f} us apart in the median")
            # Of messages that did not wait for a processor, which on a busy machine some do.
            assert median(apart_ns) < 1_000_000
    for driver, transport in zip((left, right), pair, strict=True):
        if transport != "stock":
            check_served_by(driver, transport)
