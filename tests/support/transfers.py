"""Files moved between the clients of two real drivers."""

from __future__ import annotations

import sys
from pathlib import Path

from support.drivers import DriverProcess
from support.files import random_file, sha256
from support.processes import Processes

__all__ = ["ENVIRONMENT", "PROGRAM", "faults", "move_file"]

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
    processes: Processes,
    shared: Path,
    left: DriverProcess,
    right: DriverProcess,
    channel: str,
    length: int,
    seed: int,
    limit_s: float,
) -> None:
    """Stream a file of random bytes from a client of one driver to a client of another, or the same, and compare."""
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
