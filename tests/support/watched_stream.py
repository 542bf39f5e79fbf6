"""A stream between two drivers whose endpoints change transports, watched while it goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from framelane.driver.verdicts import ServedEndpoint, read_verdicts
from support.drivers import DriverProcess
from support.processes import Process, Processes, wait_until
from support.transfers import ENVIRONMENT

__all__ = ["WatchedStream", "watch_stream"]

_SECONDS = "120"  # at most
#: Bursts that come often enough to be amid whatever happens, and leave most of the processor to others.
_PAUSE = "0.002"
_ARGUMENTS = {"publish": (_SECONDS, "64", _PAUSE), "subscribe": (_SECONDS, "0.05", _PAUSE)}


@dataclass
class WatchedStream:
    """Numbered messages from left to right; the subscriber checks that none is missing and that its image lives.

    :ivar drivers: ``left`` publishes, ``right`` subscribes.
    """

    drivers: Mapping[str, DriverProcess]
    subscriber: Process

    def endpoint(self, side: str) -> ServedEndpoint:
        # While it changes transports an endpoint may be left out.
        (one,) = wait_until(lambda: list(read_verdicts(self.drivers[side].cnc.counters())), "an endpoint")
        return one

    def count(self) -> int:
        """How many intervals of the subscriber had messages."""
        lines = [line.split() for line in self.subscriber.output.splitlines()]
        return sum(words[0] == "rate" and int(words[1]) > 0 for words in lines if len(words) == 2)

    def goes_on(self) -> None:
        before = self.count()
        wait_until(lambda: self.count() > before + 2, "messages")

    def finish(self) -> None:
        """Nothing was missing up to now."""
        self.subscriber.kill(signal.SIGUSR1)
        self.subscriber.succeed()

    def errors(self, side: str) -> str:
        return "\n".join(self.drivers[side].errors())


def watch_stream(processes: Processes, drivers: Mapping[str, DriverProcess], channel: str) -> WatchedStream:
    """Start both ends of a stream, and wait until it flows."""
    programs = {
        what: processes.start(
            what,
            [sys.executable, "-m", "support.number_stream", what, drivers[side].directory, channel, *_ARGUMENTS[what]],
            environment=ENVIRONMENT,
        )
        for what, side in (("subscribe", "right"), ("publish", "left"))
    }
    programs["subscribe"].wait_for("first")
    stream = WatchedStream(drivers, programs["subscribe"])
    stream.goes_on()
    return stream
