"""Whole drivers over devices: streams of every kind between each pair of transports, and files (issue 3: seen 2).

To start two drivers takes longer than what most of these tests do with them, so files and streams share them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess
from support.ends import KINDS, LEFT, RIGHT, Ends, channel, check_served_by
from support.exchange import exchange
from support.namespaces import Link
from support.processes import Processes
from support.transfers import move_file

pytest.importorskip("framelane_xdp")
pytest.importorskip("framelane_dpdk")

MIB = 1024 * 1024
#: Over these files move too, as large as over sockets.
WITH_FILES = [("xdp", "xdp"), ("xdp", "sockets"), ("af_packet", "sockets")]
PAIRS = [*WITH_FILES, ("af_xdp", "sockets"), ("tap", "sockets"), ("af_xdp", "xdp")]
LONG_PAIRS = [("xdp", "af_packet"), ("own af_packet", "sockets")]
#: Of datagrams in packets of 9000 bytes, for both families.
LONG = "|mtu=8928"
#: So that streams need not be long to go through a term buffer more than once.
SHORT_TERMS = {"AERON_TERM_BUFFER_LENGTH": "1m"}

root = pytest.mark.root


def named(pair: tuple[str, str]) -> str:
    return " and ".join(pair)


def exchange_every_kind(
    left: DriverProcess, right: DriverProcess, seed: int, parameters: Sequence[str] = ("",)
) -> None:
    """Stream over every kind of channel, once with each of the parameters, in both directions, all at once."""
    lanes = {}
    for number, (kind, more) in enumerate(product(KINDS, parameters)):
        there, back = channel(kind, RIGHT, 40100 + number) + more, channel(kind, LEFT, 40200 + number) + more
        lanes[f"{kind}{more} to the right"] = (left.directory, right.directory, there)
        lanes[f"{kind}{more} to the left"] = (right.directory, left.directory, back)
    exchange(lanes, 2 * MIB, seed)


def check_both_served(left: DriverProcess, right: DriverProcess, pair: tuple[str, str]) -> None:
    check_served_by(left, pair[0])
    check_served_by(right, pair[1])


def check_network_is_shown(driver: DriverProcess) -> None:
    """What ``framelane transports`` tells of the network of a port that is ``eth0`` of the left host."""
    command = [sys.executable, "-m", "framelane", "transports", "--dir", str(driver.directory), "--json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    (network,) = shown["netstacks"]
    assert (network["transport"], network["mode"], network["interface"]) == ("xdp", "kernel", "eth0")
    assert network["addresses"][:2] == ["10.77.0.1/24", "fd77::1/64"]
    assert network["neighbours"] >= 1


@root
@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_streams_of_every_kind_and_files_arrive_as_they_were_sent(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], seed: int
) -> None:
    left, right = Ends(processes, shared, link, pair, settings=SHORT_TERMS).start()
    exchange_every_kind(left, right, seed)
    if pair in WITH_FILES:
        move_file(processes, shared, left, right, channel("IPv4", RIGHT), 64 * MIB, seed, 60)
    check_both_served(left, right, pair)
    if pair == ("xdp", "sockets"):
        check_network_is_shown(left)


def test_two_processes_exchange_streams_and_files_over_memif(processes: Processes, shared: Path, seed: int) -> None:
    pair = ("memif", "memif")
    left, right = Ends(processes, shared, None, pair, settings=SHORT_TERMS).start()
    exchange_every_kind(left, right, seed)
    by_name = "aeron:udp?endpoint=224.20.30.41:40300|interface={net_memif0}"
    exchange({"by the device's name": (left.directory, right.directory, by_name)}, MIB, seed)
    move_file(processes, shared, left, right, channel("IPv4", RIGHT), 64 * MIB, seed, 60)
    check_both_served(left, right, pair)


@root
@pytest.mark.parametrize("pair", LONG_PAIRS, ids=named)
def test_datagrams_of_9000_bytes_and_shorter_ones_pass(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], seed: int
) -> None:
    left, right = Ends(processes, shared, link, pair, mtu=9000, settings=SHORT_TERMS).start()
    exchange_every_kind(left, right, seed, ["", LONG])
    check_both_served(left, right, pair)


def test_datagrams_of_9000_bytes_and_shorter_ones_pass_over_memif(
    processes: Processes, shared: Path, seed: int
) -> None:
    pair = ("memif", "memif")
    left, right = Ends(processes, shared, None, pair, mtu=9000, settings=SHORT_TERMS).start()
    exchange_every_kind(left, right, seed, ["", LONG])
    check_both_served(left, right, pair)


@root
def test_tagged_streams_pass(processes: Processes, shared: Path, link: Link, seed: int) -> None:
    pair = ("own af_packet", "af_xdp")
    left, right = Ends(processes, shared, link, pair, vlan=5, settings=SHORT_TERMS).start()
    exchange_every_kind(left, right, seed)
    check_both_served(left, right, pair)


def move_over(
    processes: Processes,
    shared: Path,
    link: Link | None,
    pair: tuple[str, str],
    length: int,
    loss: float,
    seed: int,
    limit_s: float,
    *,
    is_back: bool = False,
) -> None:
    """Move a file from the left host to the right one, or back."""
    left, right = Ends(processes, shared, link, pair).start(loss, seed)
    sender, receiver, host = (right, left, LEFT) if is_back else (left, right, RIGHT)
    move_file(processes, shared, sender, receiver, channel("IPv4", host), length, seed, limit_s)
    check_both_served(left, right, pair)
    if loss:
        assert sender.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert receiver.count(SystemCounter.NAK_MESSAGES_SENT) > 0


@root
@pytest.mark.parametrize("pair", WITH_FILES, ids=named)
def test_a_file_is_received_as_it_was_sent_where_datagrams_are_lost(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], seed: int
) -> None:
    move_over(processes, shared, link, pair, 64 * MIB, 0.01, seed, 60)


def test_a_file_is_received_over_memif_as_it_was_sent_where_datagrams_are_lost(
    processes: Processes, shared: Path, seed: int
) -> None:
    move_over(processes, shared, None, ("memif", "memif"), 64 * MIB, 0.01, seed, 60)


@root
@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("is_back", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("pair", WITH_FILES, ids=named)
def test_a_file_of_1_gib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], is_back: bool, loss: float, seed: int
) -> None:
    move_over(processes, shared, link, pair, 1024 * MIB, loss, seed, 1800, is_back=is_back)


@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_of_1_gib_is_received_over_memif_as_it_was_sent(
    processes: Processes, shared: Path, loss: float, seed: int
) -> None:
    move_over(processes, shared, None, ("memif", "memif"), 1024 * MIB, loss, seed, 1800)
