"""A file that one process publishes and another receives is identical (issue: seen 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import start_driver
from support.namespaces import Link
from support.processes import Processes
from support.transfers import faults, move_file

MIB = 1024 * 1024
CHANNELS = {
    "unicast": "aeron:udp?endpoint=10.77.0.2:40123",
    "multicast": "aeron:udp?endpoint=224.20.30.39:40456|interface=10.77.0.0/24",
}


def move_between_namespaces(
    processes: Processes, shared: Path, link: Link, kind: str, length: int, loss: float, seed: int, limit_s: float
) -> None:
    left = start_driver(processes, shared / "left", name="left", namespace=link.left, settings=faults(loss, seed))
    right = start_driver(processes, shared / "right", name="right", namespace=link.right)
    move_file(processes, shared, left, right, CHANNELS[kind], length, seed, limit_s)
    assert not left.errors() and not right.errors()
    if loss:
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert right.count(SystemCounter.NAK_MESSAGES_SENT) > 0


@pytest.mark.root
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("kind", ["unicast", "multicast"])
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, kind: str, loss: float, seed: int
) -> None:
    length = 64 * MIB if kind == "unicast" else 8 * MIB
    move_between_namespaces(processes, shared, link, kind, length, loss, seed, 60)


@pytest.mark.root
@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("kind", ["unicast", "multicast"])
def test_a_file_of_1_gib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, kind: str, loss: float, seed: int
) -> None:
    move_between_namespaces(processes, shared, link, kind, 1024 * MIB, loss, seed, 1800)


def test_a_file_moves_over_ipc(processes: Processes, shared: Path, seed: int) -> None:
    driver = start_driver(processes, shared / "driver")
    move_file(processes, shared, driver, driver, "aeron:ipc", 64 * MIB, seed, 60)


@pytest.mark.acceptance
def test_a_file_of_1_gib_moves_over_ipc(processes: Processes, shared: Path, seed: int) -> None:
    driver = start_driver(processes, shared / "driver")
    move_file(processes, shared, driver, driver, "aeron:ipc", 1024 * MIB, seed, 600)
