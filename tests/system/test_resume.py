"""A subscriber that is killed and restarted: exactly once, or exactly what is missing (issue: seen 2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import start_driver
from support.files import random_file, sha256
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
    processes: Processes, shared: Path, channel: str, seed: int
) -> None:
    # A dead subscriber holds the stream until its client times out, so this is most of what the test takes.
    driver = start_driver(processes, shared / "driver", settings={"AERON_CLIENT_LIVENESS_TIMEOUT": "4s"})
    expected = random_file(shared / "sent", LENGTH, seed)
    publisher = start_publisher(processes, driver, channel, shared / "sent")
    for part in (1, 2):
        subscriber = start_subscriber(processes, driver, channel, shared / "received", resume=True)
        wait_until(lambda goal=part * 24 * MIB: size(shared / "received") > goal, f"part {part}", 30)
        subscriber.kill()
        assert subscriber.wait() < 0, "it was still at work"
    subscriber = start_subscriber(processes, driver, channel, shared / "received", resume=True)
    found = summary(subscriber, 60)
    assert found["resumed"] and found["sha256_matches"] and not found["missing"]
    assert sha256(shared / "received") == expected
    summary(publisher, 30)
    assert driver.count(SystemCounter.CLIENT_TIMEOUTS) <= 2


def test_a_subscriber_that_comes_back_too_late_says_which_bytes_are_missing(
    processes: Processes, shared: Path, port: int, seed: int
) -> None:
    channel = f"aeron:udp?endpoint=127.0.0.1:{port}"
    settings = {
        "AERON_TIMER_INTERVAL": "50ms",
        "AERON_CLIENT_LIVENESS_TIMEOUT": "1s",
        "AERON_IMAGE_LIVENESS_TIMEOUT": "1s",
    }
    driver = start_driver(processes, shared / "driver", settings=settings)
    random_file(shared / "sent", LENGTH, seed)
    start_publisher(processes, driver, channel, shared / "sent")
    subscriber = start_subscriber(processes, driver, channel, shared / "received", resume=True)
    wait_until(lambda: size(shared / "received") > 16 * MIB, "the first part", 30)
    subscriber.kill()
    wait_until(lambda: driver.count(SystemCounter.CLIENT_TIMEOUTS) == 1, "the subscriber's timeout", 10)
    wait_until(lambda: not any(x.startswith("rcv-pos") for x in driver.labels()), "the end of the image", 20)

    late = start_subscriber(processes, driver, channel, shared / "received", resume=True)
    found = summary(late, 60, status=1)
    missing = found["missing"]
    assert missing and found["resumed"]
    sent, received = (shared / "sent").read_bytes(), bytearray((shared / "received").read_bytes())
    for begin, end in missing:  # its last writes may be in the file already, and not be noted
        assert received[begin:end] != sent[begin:end]
        received[begin:end] = sent[begin:end]
    assert sum(end - begin for begin, end in missing) < MIB, "what was on its way when it was killed"
    wrong = [at for at in range(0, LENGTH, 512) if received[at : at + 512] != sent[at : at + 512]]
    assert not wrong, f"{missing} is reported as missing, but more is: {wrong[:3]} to {wrong[-3:]}"
