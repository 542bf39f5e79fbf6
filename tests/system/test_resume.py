"""A subscriber that is killed and restarted: exactly once, or exactly what is missing (issue: seen 2)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import start_driver
from support.files import random_file, sha256
from support.mortal import bury, killed_at, subscribers
from support.processes import Processes, wait_until
from support.transfers import start_publisher, start_subscriber, summary

MIB = 1024 * 1024
LENGTH = 96 * MIB


@pytest.fixture(params=["udp", "ipc"])
def channel(request: pytest.FixtureRequest, port: int) -> str:
    return f"aeron:udp?endpoint=127.0.0.1:{port}" if request.param == "udp" else "aeron:ipc"


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_file_is_identical_after_the_subscriber_was_killed_and_restarted(
    processes: Processes, shared: Path, channel: str, seed: int, tmp_path: Path
) -> None:
    driver = start_driver(processes, shared / "driver")
    expected = random_file(shared / "sent", LENGTH, seed)
    publisher = start_publisher(processes, driver, channel, shared / "sent")
    random = Random(seed)
    dead: list[int] = []
    for goal in (random.randrange(8 * MIB, 32 * MIB), random.randrange(64 * MIB, 96 * MIB)):
        mortal = killed_at(tmp_path, goal)
        subscriber = start_subscriber(processes, driver, channel, shared / "received", resume=True, environment=mortal)
        if dead:
            bury(driver.directory, dead)
        assert subscriber.wait() < 0 and size(shared / "received") == goal
        dead = subscribers(driver.directory)
    subscriber = start_subscriber(processes, driver, channel, shared / "received", resume=True)
    bury(driver.directory, dead)
    found = summary(subscriber, 60)
    assert found["resumed"] and found["sha256_matches"] and not found["missing"]
    assert sha256(shared / "received") == expected
    summary(publisher, 60)
    assert driver.count(SystemCounter.CLIENT_TIMEOUTS) == 0


def test_a_subscriber_that_comes_back_too_late_says_exactly_which_bytes_are_missing(
    processes: Processes, shared: Path, port: int, seed: int, tmp_path: Path
) -> None:
    channel = f"aeron:udp?endpoint=127.0.0.1:{port}"
    settings = {
        "AERON_TIMER_INTERVAL": "50ms",
        "AERON_CLIENT_LIVENESS_TIMEOUT": "3s",
        "AERON_IMAGE_LIVENESS_TIMEOUT": "3s",
    }
    driver = start_driver(processes, shared / "driver", settings=settings)
    random_file(shared / "sent", LENGTH, seed)
    sent = (shared / "sent").read_bytes().replace(b"\0", b"\1")  # so that no hole equals what was sent
    (shared / "sent").write_bytes(sent)
    start_publisher(processes, driver, channel, shared / "sent")
    for goal in sorted(Random(seed).sample(range(1, LENGTH - 8 * MIB), 3)):
        subscriber = start_subscriber(
            processes, driver, channel, shared / "received", resume=True, environment=killed_at(tmp_path, goal)
        )
        assert subscriber.wait() < 0
        wait_until(lambda: not any(x.startswith("rcv-pos") for x in driver.labels()), "the end of the image", 60)

    found = summary(start_subscriber(processes, driver, channel, shared / "received", resume=True), 60, status=1)
    assert found["resumed"] and found["missing"]
    received, behind = (shared / "received").read_bytes(), 0
    assert len(received) <= LENGTH
    received = received.ljust(LENGTH, b"\0")
    for begin, end in found["missing"]:
        assert behind <= begin < end and (begin > behind or begin == 0), "in order, and none touches the next"
        assert received[behind:begin] == sent[behind:begin], f"all from {behind} to {begin} was received"
        assert not any(received[begin:end]), f"nothing from {begin} to {end} was received"
        behind = end
    assert received[behind:] == sent[behind:]
