"""Released Aeron programs on our driver, our client on the released driver, and both drivers over UDP (issue: seen 4).

Drivers run with their stock defaults but for storage:
sparse log files.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from framelane.shm.counter_types import CounterType
from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess, start_driver
from support.ends import LEFT, RIGHT, Ends, check_served_by
from support.ends import channel as channel_to
from support.namespaces import Link
from support.processes import Process, Processes, wait_until
from support.transfers import ENVIRONMENT

pytestmark = [pytest.mark.interop, pytest.mark.root]

COUNT = 1_000_000
IPC = "aeron:ipc"
STOCK_DEFAULTS = {"AERON_THREADING_MODE": "DEDICATED", "AERON_TERM_BUFFER_LENGTH": "16m"}
OURS = [sys.executable, "-m", "support.counted_stream"]

StartDriver = Callable[..., DriverProcess]


@pytest.fixture
def start(processes: Processes, shared: Path, peers: Path) -> StartDriver:
    """Starts a driver: ``ours`` or ``stock``."""

    def start_one(kind: str, namespace: str | None = None) -> DriverProcess:
        directory = shared / f"{kind}-{namespace}"
        program = peers / "aeronmd" if kind == "stock" else None
        return start_driver(
            processes, directory, name=kind, namespace=namespace, settings=STOCK_DEFAULTS, program=program
        )

    return start_one


@pytest.fixture(params=["udp", "ipc"])
def channel(request: pytest.FixtureRequest, port: int) -> str:
    return f"aeron:udp?endpoint=127.0.0.1:{port}" if request.param == "udp" else IPC


class Programs:
    """Starts the ends of a stream of a million messages on drivers."""

    def __init__(self, processes: Processes, peers: Path, shared: Path) -> None:
        self._processes = processes
        self._peers = peers
        self._shared = shared

    def ours(self, what: str, driver: DriverProcess, channel: str) -> Process:
        process = self._processes.start(
            what, [*OURS, what, driver.directory, channel, "1001", str(COUNT)], environment=ENVIRONMENT
        )
        process.wait_for("ready", 60)
        return process

    def stock_publisher(self, driver: DriverProcess, channel: str) -> Process:
        words = ["-p", driver.directory, "-c", channel, "-s", "1001", "-m", str(COUNT), "-L", "32", "-l", "1000"]
        return self._processes.start("streaming_publisher", [self._peers / "streaming_publisher", *words])

    def stock_subscriber(self, driver: DriverProcess, channel: str) -> Process:
        words = ["-p", driver.directory, "-c", channel, "-s", "1001"]
        return self._processes.start("basic_subscriber", ["stdbuf", "-oL", self._peers / "basic_subscriber", *words])


@pytest.fixture
def ends(processes: Processes, peers: Path, shared: Path) -> Programs:
    return Programs(processes, peers, shared)


def check_printed(subscriber: Process) -> None:
    """The stock subscriber prints all messages in order."""
    wait_until(lambda: f"<<message-{COUNT - 1}>>" in tail(subscriber.log), "the last message", 60)
    numbers = [int(found) for found in re.findall(r"<<message-(\d+)>>", subscriber.output)]
    assert numbers == list(range(COUNT))


def tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode(errors="replace")


def check_retransmits(sender: DriverProcess) -> None:
    sent = sender.count(SystemCounter.BYTES_SENT)
    again = sender.count(SystemCounter.RETRANSMITTED_BYTES)
    assert again <= 0.001 * sent, f"{again} of {sent} bytes were retransmitted"
    assert sender.count(SystemCounter.RETRANSMITS_SENT) < 0.001 * COUNT
    assert sender.count(SystemCounter.NAK_MESSAGES_RECEIVED) < 0.001 * COUNT


def test_a_stock_publisher_reaches_our_subscriber_on_our_driver(
    start: StartDriver, ends: Programs, channel: str
) -> None:
    driver = start("ours")
    subscriber = ends.ours("subscribe", driver, channel)
    ends.stock_publisher(driver, channel).succeed(60)
    subscriber.succeed(60)
    check_retransmits(driver)
    assert not driver.errors()


@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_our_publisher_reaches_a_stock_subscriber(start: StartDriver, ends: Programs, channel: str, kind: str) -> None:
    driver = start(kind)
    subscriber = ends.stock_subscriber(driver, channel)
    publisher = ends.ours("publish", driver, channel)
    publisher.succeed(60)
    check_printed(subscriber)
    check_retransmits(driver)


def test_our_clients_work_on_a_stock_driver(start: StartDriver, ends: Programs, channel: str) -> None:
    driver = start("stock")
    subscriber = ends.ours("subscribe", driver, channel)
    ends.ours("publish", driver, channel).succeed(60)
    subscriber.succeed(60)


@pytest.mark.parametrize("kinds", [("ours", "stock"), ("stock", "ours")], ids=["to-stock", "from-stock"])
@pytest.mark.parametrize("endpoint", ["10.77.0.2:40123", "224.20.30.39:40456|interface=10.77.0.0/24"])
def test_two_drivers_exchange_a_million_messages(
    start: StartDriver, ends: Programs, link: Link, kinds: tuple[str, str], endpoint: str
) -> None:
    sender, receiver = start(kinds[0], link.left), start(kinds[1], link.right)
    channel = f"aeron:udp?endpoint={endpoint}"
    if kinds[0] == "stock":
        subscriber = ends.ours("subscribe", receiver, channel)
        ends.stock_publisher(sender, channel).succeed(60)
        subscriber.succeed(60)
    else:
        printer = ends.stock_subscriber(receiver, channel)
        ends.ours("publish", sender, channel).succeed(60)
        check_printed(printer)
    check_retransmits(sender)
    assert receiver.count(SystemCounter.INVALID_PACKETS) == 0
    assert sender.count(SystemCounter.INVALID_PACKETS) == 0


@pytest.fixture
def start_on(processes: Processes, shared: Path, peers: Path, link: Link) -> Callable[..., tuple[DriverProcess, ...]]:
    """Starts the drivers of both hosts: ours on a device, or the right one ``stock``."""

    def start(left: str, right: str) -> tuple[DriverProcess, ...]:
        is_stock = right == "stock"
        return Ends(
            processes,
            shared,
            None if left == "memif" else link,
            (left, "sockets" if is_stock else right),
            settings={"AERON_TERM_BUFFER_LENGTH": "16m"},
            programs=(None, peers / "aeronmd" if is_stock else None),
        ).start()

    return start


@pytest.mark.parametrize("direction", ["to-stock", "from-stock"])
@pytest.mark.parametrize("kind", ["IPv4", "multicast"])
@pytest.mark.parametrize("transport", ["xdp", "af_packet", "tap", "vma", "efvi x2522", "efvi x3522"])
def test_a_driver_on_a_device_and_a_stock_driver_exchange_a_million_messages(
    start_on: Callable[..., tuple[DriverProcess, ...]], ends: Programs, transport: str, kind: str, direction: str
) -> None:
    ours, stock = start_on(transport, "stock")
    if direction == "to-stock":
        printer = ends.stock_subscriber(stock, channel_to(kind, RIGHT))
        ends.ours("publish", ours, channel_to(kind, RIGHT)).succeed(120)
        check_printed(printer)
    else:
        subscriber = ends.ours("subscribe", ours, channel_to(kind, LEFT))
        ends.stock_publisher(stock, channel_to(kind, LEFT)).succeed(120)
        subscriber.succeed(120)
    check_served_by(ours, transport)
    assert ours.count(SystemCounter.INVALID_PACKETS) == stock.count(SystemCounter.INVALID_PACKETS) == 0


@pytest.mark.parametrize("transport", ["xdp", "af_packet", "memif", "vma", "efvi x2522", "efvi x3522"])
def test_stock_clients_work_unchanged_on_drivers_on_devices(
    start_on: Callable[..., tuple[DriverProcess, ...]], ends: Programs, transport: str
) -> None:
    left, right = start_on(transport, transport)
    subscriber = ends.ours("subscribe", right, channel_to("IPv4", RIGHT, 40123))
    ends.stock_publisher(left, channel_to("IPv4", RIGHT, 40123)).succeed(120)
    subscriber.succeed(120)
    printer = ends.stock_subscriber(right, channel_to("IPv4", RIGHT, 40124))
    ends.ours("publish", left, channel_to("IPv4", RIGHT, 40124)).succeed(120)
    check_printed(printer)
    check_served_by(left, transport)
    check_served_by(right, transport)


@pytest.mark.parametrize("kinds", [("ours", "stock"), ("stock", "ours")], ids=["ping-on-ours", "ping-on-stock"])
def test_ping_and_pong_on_different_drivers(
    processes: Processes, start: StartDriver, link: Link, peers: Path, kinds: tuple[str, str]
) -> None:
    left, right = start(kinds[0], link.left), start(kinds[1], link.right)
    channels = ["-c", f"aeron:udp?endpoint={link.right_address}:40123"]
    channels += ["-C", f"aeron:udp?endpoint={link.left_address}:40124"]
    processes.start("cpong", [peers / "cpong", "-p", right.directory, *channels])
    ping = processes.start("cping", [peers / "cping", "-p", left.directory, *channels, "-m", "10000", "-w", "1000"])
    # The stock ping spins: with two drivers on two busy processors a round trip waits milliseconds for the scheduler.
    assert "Total count    =        10000" in ping.succeed(240)


def test_the_stock_counter_tool_reads_our_counters(
    processes: Processes, start: StartDriver, ends: Programs, peers: Path, port: int
) -> None:
    driver = start("ours")
    channel = f"aeron:udp?endpoint=127.0.0.1:{port}"
    subscriber = ends.ours("subscribe", driver, channel)
    ends.stock_publisher(driver, channel).succeed(60)
    subscriber.succeed(60)
    tool = processes.start("AeronStat", [peers / "AeronStat", "-d", driver.directory, "-w", "false"])
    shown = {
        int(number): (int(value.replace(",", "")), label)
        for number, value, label in re.findall(r"^ *(\d+): +(-?[\d,]+) - (.*)$", tool.succeed(60), re.MULTILINE)
    }
    assert shown[SystemCounter.BYTES_SENT][0] >= 64 * COUNT
    assert shown[SystemCounter.NAK_MESSAGES_SENT][1] == "NAKs sent"
    labels = {label for _, label in shown.values()}
    assert {label for label in driver.labels() if label.startswith("dropped-")} <= labels


class Holds:
    """The rate of a stream through an embedded driver, while its process holds the interpreter and while it does not.

    What else the machine does changes from second to second, and by more than what is looked for. So a hold is compared
    with the time right before it, and many short pairs say more than a few long ones.
    """

    def __init__(self, embedding: Process, driver: DriverProcess) -> None:
        self._embedding = embedding
        counters = driver.cnc.counters()
        received = next(counter for counter in counters if counter.type_id == CounterType.RECEIVER_POSITION)
        self._position = partial(counters.value, received.id)
        self._count = 0

    def _rate(self, seconds: float) -> float:
        """Megabytes a second over so long a time."""
        began, position = time.monotonic(), self._position()
        time.sleep(seconds)
        return (self._position() - position) / (time.monotonic() - began) / 1e6

    def pair(self, number: signal.Signals, seconds: float) -> tuple[float, float]:
        """Return the rate before a hold and during it, both over so long a time; the hold takes longer."""
        free = self._rate(seconds)
        self._embedding.kill(number)
        self._count += 1
        wait_until(lambda: self._embedding.output.count("holding") == self._count, "the hold")
        held = self._rate(seconds)
        assert self._embedding.output.count("released") < self._count, "the hold was over too early"
        wait_until(lambda: self._embedding.output.count("released") == self._count, "the hold's end")
        return free, held


def test_stock_clients_stream_on_while_the_embedding_process_holds_its_interpreter(
    processes: Processes, shared: Path, peers: Path, port: int
) -> None:
    hold_s = 12  # longer than every timeout of 10 s
    # Each busy thread on a processor of its own: the scheduler moves them about otherwise, and two on one halve it.
    cpus = sorted(os.sched_getaffinity(0))
    agents, receiving, sending = (str(cpus[i % len(cpus)]) for i in (1, 2, 3))
    command = [sys.executable, "-m", "support.embedding", "hold-gil", shared / "driver", str(hold_s), agents]
    embedding = processes.start("embedding", command, environment=ENVIRONMENT)
    embedding.wait_for("ready")
    where = ["-p", shared / "driver", "-c", f"aeron:udp?endpoint=127.0.0.1:{port}", "-s", "1001"]
    subscriber = processes.start(
        "rate_subscriber", ["taskset", "-c", receiving, "stdbuf", "-oL", peers / "rate_subscriber", *where]
    )
    publisher = processes.start(
        "streaming_publisher",
        ["taskset", "-c", sending, peers / "streaming_publisher", *where, "-m", "2000000000", "-L", "32"],
    )
    wait_until(lambda: len(re.findall(r"[1-9][\d.e+]* msgs/sec", subscriber.output)) >= 3, "a stream")
    driver = DriverProcess(embedding, shared / "driver")
    holds = Holds(embedding, driver)
    long = holds.pair(signal.SIGUSR1, hold_s - 1.0)
    short = [holds.pair(signal.SIGUSR2, 0.8) for _ in range(25)]
    ratio = statistics.median(held / free for free, held in short)
    print(f"\n{hold_s} s: {long[0]:.0f} MB/s free, {long[1]:.0f} held")
    print(
        f"1 s, free and held: {', '.join(f'{free:.0f} {held:.0f}' for free, held in short)}; median ratio {ratio:.3f}"
    )
    assert 0.9 <= ratio <= 1.1
    assert long[1] > 0.5 * long[0], "the stream stood still in a long hold"
    assert subscriber.is_running and publisher.is_running
    assert driver.count(SystemCounter.CLIENT_TIMEOUTS) == 0
    assert not driver.errors()
    assert "Unavailable image" not in subscriber.output
