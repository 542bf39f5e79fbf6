"""Files moved between the clients of two real drivers, by the programs that users run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.drivers import DriverProcess
from support.files import random_file, sha256
from support.processes import Process, Processes

__all__ = ["ENVIRONMENT", "faults", "move_file", "start_publisher", "start_subscriber", "summary"]

#: For programs of tests: where their modules are.
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[1])}
_PROGRAM = Path(sys.executable).with_name("framelane")


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


def start_publisher(processes: Processes, driver: DriverProcess, channel: str, file: Path) -> Process:
    words = ["publish", "--dir", driver.directory, "--channel", channel, "--file", file, "--timeout", "60"]
    return processes.start("publish", [_PROGRAM, *words, "--json"])


def start_subscriber(
    processes: Processes,
    driver: DriverProcess,
    channel: str,
    output: Path,
    *,
    resume: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Process:
    words = ["subscribe", "--dir", driver.directory, "--channel", channel, "--output", output, "--timeout", "60"]
    words += ["--json", *(["--resume"] if resume else [])]
    return processes.start("subscribe", [_PROGRAM, *words], environment=environment)


def summary(process: Process, limit_s: float, *, status: int = 0) -> dict[str, Any]:
    """Wait for the end of a publisher or subscriber and return what it prints."""
    assert process.wait(limit_s) == status, process.output
    found: dict[str, Any]
    found, _ = json.JSONDecoder().raw_decode(process.output[process.output.index("{") :])  # warnings may follow
    return found


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
    subscriber = start_subscriber(processes, right, channel, shared / "received")
    publisher = start_publisher(processes, left, channel, shared / "sent")
    assert summary(publisher, limit_s)["sha256"] == expected
    assert summary(subscriber, limit_s)["sha256_matches"]
    assert sha256(shared / "received") == expected
