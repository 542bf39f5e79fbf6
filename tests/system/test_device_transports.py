"""Whole drivers over devices: streams of every kind between each pair of transports, and files (issue 3: seen 2)."""

from __future__ import annotations

import json
import subprocess
import sys
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
PAIRS = [
    ("xdp", "sockets"),
    ("xdp", "xdp"),
    ("af_packet", "sockets"),
    ("own af_packet", "sockets"),
    ("af_xdp", "sockets"),
    ("tap", "sockets"),
    ("af_packet", "xdp"),
    ("af_xdp", "xdp"),
]
#: Of datagrams in packets of 9000 bytes, for both families.
LONG = {"AERON_MTU_LENGTH": "8928"}

root = pytest.mark.root


def named(pair: tuple[str, str]) -> str:
    return " and ".join(pair)


def exchange_every_kind(left: DriverProcess, right: DriverProcess, length: int, seed: int) -> None:
    """Stream over every kind of channel in both directions, all at once."""
    to_right = {f"{kind} to the right": (left, right, channel(kind, RIGHT, 40100 + i)) for i, kind in enumerate(KINDS)}
    to_left = {f"{kind} to the left": (right, left, channel(kind, LEFT, 40200 + i)) for i, kind in enumerate(KINDS)}
    lanes = {name: (a.directory, b.directory, there) for name, (a, b, there) in (to_right | to_left).items()}
    exchange(lanes, length, seed)


def run_every_kind(ends: Ends, length: int, seed: int) -> tuple[DriverProcess, DriverProcess]:
    left, right = ends.start()
    exchange_every_kind(left, right, length, seed)
    check_served_by(left, ends.transports[0])
    check_served_by(right, ends.transports[1])
    return left, right


@root
@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_streams_of_every_kind_arrive_as_they_were_sent(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], seed: int
) -> None:
    run_every_kind(Ends(processes, shared, link, pair), 4 * MIB, seed)


def test_two_processes_exchange_streams_over_memif(processes: Processes, shared: Path, seed: int) -> None:
    left, right = run_every_kind(Ends(processes, shared, None, ("memif", "memif")), 4 * MIB, seed)
    by_name = "aeron:udp?endpoint=224.20.30.41:40300|interface={net_memif0}"
    exchange({"by the device's name": (left.directory, right.directory, by_name)}, MIB, seed)


@root
@pytest.mark.parametrize("pair", [("xdp", "af_packet"), ("own af_packet", "sockets")], ids=named)
def test_datagrams_of_9000_bytes_pass(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], seed: int
) -> None:
    run_every_kind(Ends(processes, shared, link, pair, mtu=9000, settings=LONG), 8 * MIB, seed)


def test_datagrams_of_9000_bytes_pass_over_memif(processes: Processes, shared: Path, seed: int) -> None:
    run_every_kind(Ends(processes, shared, None, ("memif", "memif"), mtu=9000, settings=LONG), 8 * MIB, seed)


@root
def test_tagged_streams_pass(processes: Processes, shared: Path, link: Link, seed: int) -> None:
    run_every_kind(Ends(processes, shared, link, ("own af_packet", "af_xdp"), vlan=5), 4 * MIB, seed)


def move_over(
    processes: Processes,
    shared: Path,
    link: Link | None,
    pair: tuple[str, str],
    length: int,
    loss: float,
    seed: int,
    limit_s: float,
) -> None:
    left, right = Ends(processes, shared, link, pair).start(loss, seed)
    move_file(processes, shared, left, right, channel("IPv4", RIGHT), length, seed, limit_s)
    check_served_by(left, pair[0])
    check_served_by(right, pair[1])
    if loss:
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert right.count(SystemCounter.NAK_MESSAGES_SENT) > 0


ON_ETHERNET = [("xdp", "xdp"), ("xdp", "sockets")]


@root
@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("pair", ON_ETHERNET, ids=named)
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], loss: float, seed: int
) -> None:
    move_over(processes, shared, link, pair, 64 * MIB, loss, seed, 60)


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_is_received_over_memif_as_it_was_sent(
    processes: Processes, shared: Path, loss: float, seed: int
) -> None:
    move_over(processes, shared, None, ("memif", "memif"), 64 * MIB, loss, seed, 60)


@root
@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("pair", ON_ETHERNET, ids=named)
def test_a_file_of_1_gib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, pair: tuple[str, str], loss: float, seed: int
) -> None:
    move_over(processes, shared, link, pair, 1024 * MIB, loss, seed, 1800)


@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_of_1_gib_is_received_over_memif_as_it_was_sent(
    processes: Processes, shared: Path, loss: float, seed: int
) -> None:
    move_over(processes, shared, None, ("memif", "memif"), 1024 * MIB, loss, seed, 1800)


@root
def test_the_network_of_the_port_is_shown(processes: Processes, shared: Path, link: Link, seed: int) -> None:
    left, right = Ends(processes, shared, link, ("xdp", "sockets")).start()
    lane = (left.directory, right.directory, channel("IPv4", RIGHT))
    exchange({"a stream": lane}, MIB, seed)
    command = [sys.executable, "-m", "framelane", "transports", "--dir", str(left.directory), "--json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    (network,) = shown["netstacks"]
    assert (network["transport"], network["mode"], network["interface"]) == ("xdp", "kernel", "eth0")
    assert network["addresses"][:2] == ["10.77.0.1/24", "fd77::1/64"]
    assert network["neighbours"] >= 1
