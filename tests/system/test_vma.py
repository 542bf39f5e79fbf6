"""Whole drivers over VMA, by the stand-in for libvma, and drivers over sockets, on a veth pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from framelane.driver.verdicts import read_verdicts
from framelane.shm.counter_types import CounterType
from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess
from support.ends import LEFT, RIGHT, Ends, channel
from support.exchange import exchange
from support.namespaces import Link
from support.processes import Processes, wait_until
from support.transfers import move_file
from support.vma import VARIABLE

MIB = 1024 * 1024

pytestmark = pytest.mark.root


def start(
    processes: Processes,
    shared: Path,
    link: Link,
    words: str,
    *,
    loss: float = 0.0,
    seed: int = 1,
    settings: Mapping[str, str] | None = None,
) -> tuple[DriverProcess, DriverProcess]:
    """The left host is on VMA, the right one on sockets."""
    ends = Ends(processes, shared, link, ("vma", "sockets"), settings={VARIABLE: words} | dict(settings or {}))
    return ends.start(loss, seed)


def figures(driver: DriverProcess) -> dict[str, int]:
    return {c.label: c.value for c in driver.cnc.counters() if c.label.startswith("vma-")}


def check_served_by_vma(driver: DriverProcess) -> None:
    assert {one.transport for one in read_verdicts(driver.cnc.counters())} <= {"vma"}  # unless they are closed
    wait_until(lambda: figures(driver).get("vma-tx-datagrams"), "figures of vma")
    now = figures(driver)
    assert now["vma-rx-errors"] == now["vma-tx-errors"] == now["vma-rx-not-freed"] == 0


def move_both_ways(processes: Processes, shared: Path, link: Link, length: int, loss: float, seed: int) -> None:
    """To VMA, whose packets are read where they are, and from it; some are copied, and rings fill up."""
    left, right = start(processes, shared, link, "copy_every=10,tx_full_every=40", loss=loss, seed=seed)
    move_file(processes, shared, right, left, channel("IPv4", LEFT), length, seed, 1800)
    for name in ("sent", "received"):
        (shared / name).unlink()
    back = shared / "back"
    back.mkdir()
    move_file(processes, back, left, right, channel("IPv4", RIGHT), length, seed, 1800)
    check_served_by_vma(left)
    wait_until(lambda: figures(left)["vma-rx-zero-copy-bytes"] > 0.8 * length, "the bytes that were not copied")
    now = figures(left)
    assert now["vma-rx-data-copy-bytes"] > 0 and now["vma-tx-eagain"] > 0
    types = {c.label: c.type_id for c in left.cnc.counters()}
    assert types["vma-transports"] == 61
    assert types["vma-rx-zero-copy-bytes"] == 62
    assert types["vma-rx-data-copy-bytes"] == 63
    if loss:
        assert left.count(SystemCounter.NAK_MESSAGES_SENT) > 0
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, loss: float, seed: int
) -> None:
    move_both_ways(processes, shared, link, 4 * MIB, loss, seed)


@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_a_file_of_1_gib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, loss: float, seed: int
) -> None:
    move_both_ways(processes, shared, link, 1024 * MIB, loss, seed)


def test_sender_and_receiver_on_threads_of_their_own_share_no_ring(
    processes: Processes, shared: Path, link: Link, seed: int
) -> None:
    """Both directions at once; the stand-in ends the driver if two threads use one ring."""
    dedicated = {"AERON_THREADING_MODE": "DEDICATED"}
    left, right = start(processes, shared, link, "own_rings,tx_full_every=50", settings=dedicated)
    lanes = {
        f"{kind} {name}": (a.directory, b.directory, channel(kind, host, port))
        for port, kind in ((40100, "IPv4"), (40101, "multicast"))
        for name, a, b, host in (("to the right", left, right, RIGHT), ("to the left", right, left, LEFT))
    }
    exchange(lanes, 2 * MIB, seed)
    check_served_by_vma(left)
    assert left.process.is_running


def test_endpoints_that_are_not_offloaded_are_in_the_error_log_and_counted(
    processes: Processes, shared: Path, link: Link, seed: int
) -> None:
    left, right = start(processes, shared, link, "kernel")
    lane = (right.directory, left.directory, channel("IPv4", LEFT))
    exchange({"a stream": lane}, MIB, seed)
    assert any("is not offloaded: VMA has no ring" in entry for entry in left.errors())
    wait_until(lambda: figures(left).get("vma-rx-data-copy-bytes"), "figures of vma")
    assert figures(left)["vma-rx-zero-copy-bytes"] == 0


def test_a_driver_passes_a_library_over_that_refuses_sockets_and_says_why(
    processes: Processes, shared: Path, link: Link, seed: int
) -> None:
    ends = Ends(processes, shared, link, ("vma", "sockets"), settings={VARIABLE: "refuse=19"}, required=False)
    left, right = ends.start()
    exchange({"a stream": (right.directory, left.directory, channel("IPv4", LEFT))}, MIB, seed)
    (endpoint,) = read_verdicts(left.cnc.counters())
    assert endpoint.transport == "sockets"
    ((name, why),) = endpoint.passed_over
    assert name == "vma" and "its socket() returns -1: No such device" in why
    assert left.count(next(c.id for c in left.cnc.counters() if c.type_id == CounterType.TRANSPORT_FALLBACK)) == 1
