"""A driver streams over AF_XDP, and everything else on its interface goes on beside it (issue 3: seen 3)."""

from __future__ import annotations

import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from framelane.shm.system_counters import SystemCounter
from support.drivers import DriverProcess
from support.ends import LEFT, RIGHT, Ends, channel, figures
from support.namespaces import Link, inside, run_in
from support.processes import Processes, wait_until
from support.tcp import receive_all, sender_command
from support.transfers import ENVIRONMENT

pytest.importorskip("framelane_xdp")

pytestmark = pytest.mark.root

TCP_LENGTH = 100_000_000

#: No more is under way than a veth holds, 256 frames, with room for others: at full rate the stream loses nothing.
CHANNEL = channel("IPv4", RIGHT) + "|rcv-wnd=131072"


class Stream:
    """Numbered messages from left to right at full rate, over XDP at both ends."""

    def __init__(self, processes: Processes, drivers: tuple[DriverProcess, DriverProcess]) -> None:
        self.left, self.right = drivers
        program = [sys.executable, "-m", "support.number_stream"]
        self.subscriber, self.publisher = (
            processes.start(what, [*program, what, driver.directory, CHANNEL, "120"], environment=ENVIRONMENT)
            for what, driver in (("subscribe", self.right), ("publish", self.left))
        )
        self.subscriber.wait_for("rate")
        assert self.left.count(SystemCounter.RETRANSMITS_SENT) == 0

    def received(self) -> int:
        return self.right.count(SystemCounter.BYTES_RECEIVED)

    def finish(self) -> None:
        """Nothing was missing, and nothing but the stream's datagrams came through XDP."""
        before = self.received()
        wait_until(lambda: self.received() > before, "the stream goes on")
        self.subscriber.kill(signal.SIGUSR1)
        self.subscriber.succeed()
        self.publisher.end()
        for driver in (self.left, self.right):
            wait_until(lambda driver=driver: only_streams_datagrams(figures(driver)), "figures")
            others = {name: value for name, value in figures(driver).items() if value and is_of_others(name)}
            assert not others


def only_streams_datagrams(now: dict[str, int]) -> bool:
    """Whether all frames are datagrams of endpoints. The figures are copied one after another, once a second."""
    return now["xdp-rx-frames"] == now["xdp-program-redirected"] == now["xdp-rx-pkts"] + now["xdp-rx-no-listener"]


def is_of_others(name: str) -> bool:
    return name.startswith(("xdp-rx-unsupported", "xdp-rx-malformed", "xdp-rx-not-mine", "xdp-rx-fragments"))


def test_every_ping_is_answered_and_a_tcp_transfer_arrives_whole_beside_a_driver_s_stream(
    processes: Processes, shared: Path, link: Link
) -> None:
    stream = Stream(processes, Ends(processes, shared, link, ("xdp", "xdp")).start())

    for host in (*LEFT, *RIGHT):
        namespace = link.right if host in LEFT else link.left
        told = run_in(namespace, "ping", "-q", "-c", "100", "-i", "0.005", "-W", "10", host)
        assert re.search("100 packets transmitted, 100 received", told), told

    with inside(link.right), socket.create_server((RIGHT[0], 0)) as listener:
        sender = processes.start("sender", sender_command(listener, TCP_LENGTH), namespace=link.left)
        received = receive_all(listener)
    assert received == (TCP_LENGTH, sender.succeed().strip())

    stream.finish()
