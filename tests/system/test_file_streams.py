"""A file that one process publishes and another receives is identical (issue: seen 2)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess, start_driver
from support.files import random_file, sha256
from support.namespaces import Link
from support.processes import Processes

MIB = 1024 * 1024
CHANNELS = {
    "unicast": "aeron:udp?endpoint=10.77.0.2:40123",
    "multicast": "aeron:udp?endpoint=224.20.30.39:40456|interface=10.77.0.0/24",
}
PROGRAM = [sys.executable, "-m", "support.file_stream"]
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[1])}


def faults(loss: float, seed: int) -> dict[str, str]:
    """Settings of one of two drivers that disturb every datagram between them once, in both directions."""
    if not loss:
        return {}
    text = f"loss={loss},duplicate=0.01,reorder=0.01"
    return {
        "FRAMELANE_DEBUG_SEND_FAULTS": text,
        "FRAMELANE_DEBUG_RECEIVE_FAULTS": text,
        "FRAMELANE_DEBUG_FAULTS_SEED": str(seed),
    }


def move_file(
    processes: Processes, shared: Path, link: Link, length: int, channel: str, loss: float, seed: int, limit_s: float
) -> tuple[DriverProcess, DriverProcess]:
    """Stream a file of random bytes between two drivers in two namespaces and compare."""
    left = start_driver(processes, shared / "left", name="left", namespace=link.left, settings=faults(loss, seed))
    right = start_driver(processes, shared / "right", name="right", namespace=link.right)
    expected = random_file(shared / "sent", length, seed)
    subscriber = processes.start(
        "subscribe",
        [*PROGRAM, "subscribe", right.directory, channel, shared / "received", str(length)],
        environment=ENVIRONMENT,
    )
    subscriber.wait_for("subscribed")
    publisher = processes.start(
        "publish", [*PROGRAM, "publish", left.directory, channel, shared / "sent"], environment=ENVIRONMENT
    )
    publisher.succeed(limit_s)
    subscriber.succeed(limit_s)
    assert sha256(shared / "received") == expected
    if loss:
        assert left.count(SystemCounter.RETRANSMITS_SENT) > 0
        assert right.count(SystemCounter.NAK_MESSAGES_SENT) > 0
    return left, right


@pytest.mark.root
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("kind", ["unicast", "multicast"])
def test_a_file_of_64_mib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, kind: str, loss: float, seed: int
) -> None:
    length = 64 * MIB if kind == "unicast" else 8 * MIB
    move_file(processes, shared, link, length, CHANNELS[kind], loss, seed, 60)


@pytest.mark.root
@pytest.mark.acceptance
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("kind", ["unicast", "multicast"])
def test_a_file_of_1_gib_is_received_as_it_was_sent(
    processes: Processes, shared: Path, link: Link, kind: str, loss: float, seed: int
) -> None:
    move_file(processes, shared, link, 1024 * MIB, CHANNELS[kind], loss, seed, 1800)
