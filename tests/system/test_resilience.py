"""What the driver stands: dying clients, an application that holds the interpreter, a control plane that stalls."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from framelane.client import Client
from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess, start_driver
from support.processes import Process, Processes, wait_until
from support.transfers import ENVIRONMENT

IPC = "aeron:ipc"
NUMBERS = [sys.executable, "-m", "support.number_stream"]


@pytest.fixture(params=["udp", "ipc"])
def channel(request: pytest.FixtureRequest, port: int) -> str:
    return udp(port) if request.param == "udp" else IPC


def udp(port: int) -> str:
    return f"aeron:udp?endpoint=127.0.0.1:{port}"


def start_numbers(processes: Processes, what: str, directory: Path, channel: str, seconds: float) -> Process:
    return processes.start(what, [*NUMBERS, what, directory, channel, str(seconds)], environment=ENVIRONMENT)


def start_embedding(processes: Processes, what: str, directory: Path, seconds: float) -> Process:
    command = [sys.executable, "-m", "support.embedding", what, directory, str(seconds)]
    process = processes.start(what, command, environment=ENVIRONMENT)
    process.wait_for("ready", 60)
    return process


def rates(output: str) -> list[int]:
    """The subscriber's messages in each quarter of a second."""
    return [int(line.split()[1]) for line in output.splitlines() if line.startswith("rate")]


def test_a_killed_client_times_out_and_its_resources_go(processes: Processes, shared: Path, channel: str) -> None:
    settings = {
        "AERON_TIMER_INTERVAL": "100ms",
        "AERON_CLIENT_LIVENESS_TIMEOUT": "1s",
        "AERON_PUBLICATION_LINGER_TIMEOUT": "200ms",
        "AERON_IMAGE_LIVENESS_TIMEOUT": "1s",
    }
    driver = start_driver(processes, shared / "driver", settings=settings)
    before = sorted(driver.labels())
    victims = [start_numbers(processes, what, driver.directory, channel, 60) for what in ("subscribe", "publish")]
    victims[0].wait_for("first", 60)
    assert list(driver.directory.rglob("*.logbuffer"))
    for victim in victims:
        victim.kill(signal.SIGKILL)
        victim.wait()

    wait_until(lambda: driver.count(SystemCounter.CLIENT_TIMEOUTS) == 2, "client timeouts", 60)
    wait_until(lambda: not list(driver.directory.rglob("*.logbuffer")), "log buffers gone", 60)

    def left() -> list[str]:
        return [label for label in driver.labels() if not label.startswith("sockets-") and label not in before]

    wait_until(lambda: not left(), "counters gone", 60)
    again = [start_numbers(processes, what, driver.directory, channel, 1) for what in ("subscribe", "publish")]
    again[0].succeed(60)


def test_a_held_interpreter_delays_no_frame_and_times_nobody_out(processes: Processes, shared: Path, port: int) -> None:
    hold_s = 12  # longer than every timeout of 10 s
    embedding = start_embedding(processes, "hold-gil", shared / "driver", hold_s)
    subscriber = start_numbers(processes, "subscribe", shared / "driver", udp(port), hold_s + 6)
    start_numbers(processes, "publish", shared / "driver", udp(port), hold_s + 20)
    subscriber.wait_for("first", 60)
    time.sleep(2.5)
    embedding.kill(signal.SIGUSR1)
    embedding.wait_for("holding")
    free = len(rates(subscriber.output))
    time.sleep(hold_s - 5)
    assert "released" not in embedding.output
    with Client(shared / "driver") as client:
        client.add_publication(IPC, 7).close()  # asked while the interpreter is held, answered afterwards
    embedding.wait_for("released", 60)
    held = len(rates(subscriber.output))
    subscriber.succeed(60)
    found = rates(subscriber.output)
    # Whole seconds, and no more than that some came: how many is for an idle machine, and the interop tests compare.
    seconds = [sum(found[i : i + 4]) for i in range(free + 1, held - 4, 4)]
    assert len(seconds) >= 5 and min(seconds) > 0, f"a second without a message: {found}"
    driver = DriverProcess(embedding, shared / "driver")
    assert driver.count(SystemCounter.CLIENT_TIMEOUTS) == 0
    assert not driver.errors()


def test_a_subscriber_joins_gap_free_while_the_control_plane_pauses(
    processes: Processes, shared: Path, channel: str
) -> None:
    embedding = start_embedding(processes, "pause-link", shared / "driver", 2)
    first = start_numbers(processes, "subscribe", shared / "driver", channel, 6)
    start_numbers(processes, "publish", shared / "driver", channel, 20)
    first.wait_for("first", 60)
    embedding.kill(signal.SIGUSR1)
    embedding.wait_for("will pause")
    late = start_numbers(processes, "subscribe", shared / "driver", channel, 1)
    embedding.wait_for("pausing", 60)
    embedding.wait_for("paused")
    assert int(late.succeed(60).split()[-1]) > 0, "it joined late"
    first.succeed(60)
