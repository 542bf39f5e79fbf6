"""What a whole driver asks of the kernel while it streams, as strace counts it over all its threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.drivers import DriverProcess, start_driver
from support.namespaces import Link
from support.processes import Process, Processes, wait_until
from support.transfers import ENVIRONMENT

pytest.importorskip("framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError)
pytest.importorskip("framelane_dpdk._native", reason="built without libdpdk", exc_type=ImportError)

#: How long calls are counted, seconds.
WINDOW_S = 2.0
#: Calls that move packets or wait for them.
PACKET_CALLS = (
    "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "read", "write", "writev", "poll", "ppoll",
    "epoll_wait", "epoll_pwait", "select", "pselect6", "ioctl",
)  # fmt: skip
#: Calls that the conductor and a client's keepalive make now and then, whether or not the window when idle had one.
BY_THE_CLOCK = ("clock_nanosleep", "getpid", "ppoll", "read", "write", "restart_syscall", "futex", "openat", "close")
CHANNEL = "aeron:udp?endpoint=10.77.0.2:40123"


def start(
    processes: Processes,
    shared: Path,
    name: str,
    transport: str,
    settings: dict[str, Any],
    namespace: str | None = None,
) -> DriverProcess:
    """Start a driver on a transport, whose agent of the network spins: what it calls is for its work."""
    file = shared / f"{name}.toml"
    table = "\n".join(f"{key} = {value}" for key, value in settings.items())
    file.write_text(f'[transport]\nrequire = "{transport}"\n[transport.{transport}]\n{table}\n')
    environment = {
        "AERON_THREADING_MODE": "SHARED_NETWORK",
        "AERON_SHAREDNETWORK_IDLE_STRATEGY": "noop",
        "FRAMELANE_CONFIG": str(file),
    }
    return start_driver(processes, shared / name, name=name, namespace=namespace, settings=environment)


def stream(processes: Processes, left: DriverProcess, right: DriverProcess) -> tuple[Process, Process]:
    """Start a stream of numbered messages at full rate; returns its two ends, once messages arrive."""

    def start_end(driver: DriverProcess, name: str, *arguments: str) -> Process:
        command = [sys.executable, "-m", "support.number_stream", name, driver.directory, CHANNEL, "60", *arguments]
        end = processes.start(name, command, environment=ENVIRONMENT)
        end.wait_for("ready")
        return end

    subscriber = start_end(right, "subscribe")
    # Messages come by so many frames that a slow machine, too, has more than 32 to send at once.
    publisher = start_end(left, "publish", "512")
    subscriber.wait_for("first")
    return publisher, subscriber


def calls_of(processes: Processes, driver: DriverProcess, tmp_path: Path) -> Counter[str]:
    """Return the system calls that a driver makes in the window, by name."""
    table = tmp_path / "calls"
    command = ["strace", "-c", "-f", "-U", "calls,name", "-o", table, "-p", driver.process.pid]
    strace = processes.start("strace", [str(word) for word in command])
    strace.wait_for("attached")
    time.sleep(WINDOW_S)
    strace.kill(signal.SIGINT)
    strace.wait(20)
    rows = (line.split() for line in table.read_text().splitlines())
    return Counter({row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit() and row[1] != "total"})


def figures(driver: DriverProcess, transport: str) -> Counter[str]:
    """Return the transport's figures, which the driver copies once a second."""
    counters = driver.cnc.counters()
    prefix = f"{transport}-"
    return Counter({c.label.removeprefix(prefix): c.value for c in counters if c.label.startswith(prefix)})


def calls_and_figures(
    processes: Processes, driver: DriverProcess, transport: str, tmp_path: Path
) -> tuple[Counter[str], Counter[str]]:
    """Return the calls of the window, and how the figures grew over at least as long a time."""
    before = figures(driver, transport)
    calls = calls_of(processes, driver, tmp_path)
    at_end = figures(driver, transport)
    wait_until(lambda: figures(driver, transport)["tx-pkts"] > at_end["tx-pkts"], "newer figures")
    return calls, figures(driver, transport) - before


@pytest.mark.programs("strace")
def test_dpdk_makes_no_system_call_for_packets(processes: Processes, shared: Path, tmp_path: Path) -> None:
    """A driver that streams calls the kernel as often as one that idles: its conductor does, by the clock."""
    drivers = []
    for host, (name, role) in enumerate((("left", "server"), ("right", "client")), start=1):
        settings = {
            "vdev": '"net_memif"',
            "vdev_args": f'{{ role = "{role}", socket = "{shared}/memif" }}',
            "addresses": f'["10.77.0.{host}/24"]',
        }
        drivers.append(start(processes, shared, name, "dpdk", settings))
    left, right = drivers
    idle = calls_of(processes, left, tmp_path)
    publisher, subscriber = stream(processes, left, right)
    for driver in drivers:
        calls, grown = calls_and_figures(processes, driver, "dpdk", tmp_path)
        packets = grown["tx-pkts"] + grown["rx-pkts"]
        print(f"{driver.process.name}: {packets} packets, {calls.total()} calls, {idle.total()} when idle: {calls}")
        assert packets > 10_000
        assert calls.keys() <= idle.keys() | set(BY_THE_CLOCK)
        assert calls.total() - calls["clock_nanosleep"] < 500
        assert sum(calls[name] for name in PACKET_CALLS) < 100  # the conductor's, by the clock
    assert publisher.is_running and subscriber.is_running, subscriber.output


@pytest.mark.root
@pytest.mark.programs("strace")
def test_xdp_kicks_at_most_once_for_32_frames(processes: Processes, shared: Path, tmp_path: Path, link: Link) -> None:
    for namespace in (link.left, link.right):
        command = ["ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", "tx", "off"]
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    settings = {"interface": '"eth0"'}
    left = start(processes, shared, "left", "xdp", settings, link.left)
    right = start(processes, shared, "right", "xdp", settings, link.right)
    publisher, subscriber = stream(processes, left, right)
    for driver in (left, right):
        calls, grown = calls_and_figures(processes, driver, "xdp", tmp_path)
        frames = grown["tx-frames"] + grown["rx-frames"]
        print(f"{driver.process.name}: {frames} frames, {grown['kicks']} kicks, {calls}")
        assert frames > 10_000
        assert 0 < calls["sendto"] <= frames / 32
        assert grown["kicks"] <= frames / 32
        assert sum(calls[name] for name in PACKET_CALLS if name != "sendto") < 100  # the conductor's, by the clock
    assert publisher.is_running and subscriber.is_running, subscriber.output
