"""The child process behind :class:`framelane.testing.far_end.RemoteStation`.

``python -m framelane.testing.far_child MODULE:FUNCTION COMMANDS ANSWERS``, the last two being descriptors of pipes.
"""

from __future__ import annotations

import importlib
import itertools
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from framelane.errors import FramelaneError, NativeError
from framelane.interrupts import end_with_parent, release
from framelane.testing.station import Datagram, Endpoint, Run, Station
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport


class _Child:
    """The commands, in the child."""

    def __init__(self, opener: str) -> None:
        module, function = opener.split(":")
        transport: OpenTransport = getattr(importlib.import_module(module), function)()
        self.station = Station(transport)
        self.endpoints: dict[int, Endpoint] = {}
        self._numbers = itertools.count(1)

    def ready(self) -> None:
        """Answer once the transport is open."""

    def open(self, **keywords: Any) -> tuple[int, Address]:
        endpoint = self.station.open(**keywords)
        number = next(self._numbers)
        self.endpoints[number] = endpoint
        return number, endpoint.local

    def send_all(self, number: int, runs: list[Run]) -> None:
        self.endpoints[number].send_all(runs)

    def receive(self, number: int, count: int, limit_s: float) -> list[Datagram]:
        return self.endpoints[number].receive(count, limit_s)

    def close_endpoint(self, number: int) -> None:
        self.endpoints.pop(number).close()

    def reset(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.endpoints.clear()

    def close(self) -> None:
        self.station.close()


def _serve(opener: str, commands: Connection, answers: Connection) -> None:
    child: _Child | None = None
    name = ""
    while name != "close":
        while child is not None and not commands.poll(0.0001):
            child.station.cycle()
        try:
            name, arguments, keywords = commands.recv()
        except EOFError:
            return
        try:
            child = child or _Child(opener)
            answers.send((None, getattr(child, name)(*arguments, **keywords)))
        except (FramelaneError, AssertionError, OSError) as error:
            code = error.code if isinstance(error, NativeError) else None
            answers.send((type(error), str(error), code, traceback.format_exc()))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle: its end is the end of the commands
    end_with_parent()
    release()
    _serve(sys.argv[1], Connection(int(sys.argv[2]), writable=False), Connection(int(sys.argv[3]), readable=False))
