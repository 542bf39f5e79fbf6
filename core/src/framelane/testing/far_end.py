"""The far end of a conformance test in a child process, driven over a pipe.

For transports of which one process can open only one, and for those whose ends live in different network namespaces.
The child runs duty cycles all the time, so that what a transport answers by itself (address resolution, credits) is
answered while no command is under way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from framelane._native import lib
from framelane.errors import NativeError
from framelane.interrupts import start_child
from framelane.testing.station import WAIT_LIMIT_S, Datagram, Run, Station
from framelane.transport.address import Address

__all__ = ["RemoteEndpoint", "RemoteStation"]


class RemoteEndpoint:
    """An endpoint in the child process."""

    def __init__(self, station: RemoteStation, number: int, local: Address) -> None:
        self._station = station
        self._number = number
        self._local = local

    @property
    def local(self) -> Address:
        """The bound address."""
        return self._local

    def send_all(self, runs: Sequence[Run]) -> None:
        """Send the runs, resuming where the transport had no room."""
        self._station.call("send_all", self._number, list(runs))

    def receive(self, count: int, limit_s: float = WAIT_LIMIT_S) -> list[Datagram]:
        """Wait for so many datagrams; fewer if the limit passes."""
        received: list[Datagram] = self._station.call("receive", self._number, count, limit_s)
        return received

    def close(self) -> None:
        """Close the endpoint."""
        self._station.call("close_endpoint", self._number)


class RemoteStation:
    """A station in a child process.

    :param opener: ``"module:function"`` of a function without arguments that returns an
        :class:`~framelane.transport.native.OpenTransport`; called in the child.
    :param prefix: put before the child's command line, such as ``("ip", "netns", "exec", "far")``.
    :param near: does its upkeep while this one waits for an answer, as a driver would.
    """

    def __init__(self, opener: str, prefix: Sequence[str] = (), near: Station | None = None) -> None:
        child_in, out = os.pipe()
        into, child_out = os.pipe()
        command = [*prefix, sys.executable, "-m", "framelane.testing.far_child", opener, str(child_in), str(child_out)]
        self._process = start_child(command, pass_fds=(child_in, child_out))
        os.close(child_in)
        os.close(child_out)
        self._commands = Connection(out, readable=False)
        self._answers = Connection(into, writable=False)
        self.near = near
        self.call("ready")

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Have the child do something and wait for the answer.

        :raises FramelaneError: or whatever else the child's call raised.
        """
        self._commands.send((name, arguments, keywords))
        while not self._answers.poll(0.0005 if self.near is not None else None):
            if self.near is not None and not self.near.transport.is_closed:
                self.near.reap()
        try:
            kind, *answer = self._answers.recv()
        except EOFError:
            raise AssertionError(f"the far end's process ended with status {self._process.wait()}") from None
        if kind is None:
            return answer[0]
        text, code, trace = answer
        error = NativeError(text, code) if code is not None else kind(text)
        error.add_note(f"at the far end:\n{trace}")
        raise error

    def open(
        self,
        *,
        role: int = lib.FL_ROLE_RECEIVER,
        bind: Address | None = None,
        peer: Address | None = None,
        interface: Address | None = None,
        flags: int = 0,
        mtu_length: int = 1408,
        ttl: int = 0,
        receive_buffer_length: int = 0,
        send_buffer_length: int = 0,
    ) -> RemoteEndpoint:
        """Open an endpoint in the child and put it on the child's poller."""
        number, local = self.call(
            "open",
            role=role,
            bind=bind,
            peer=peer,
            interface=interface,
            flags=flags,
            mtu_length=mtu_length,
            ttl=ttl,
            receive_buffer_length=receive_buffer_length,
            send_buffer_length=send_buffer_length,
        )
        return RemoteEndpoint(self, number, local)

    def reset(self) -> None:
        """Close all endpoints, so that another pair can use this station."""
        self.call("reset")

    def close(self) -> None:
        """Close the child's transport and wait for its end."""
        if self._process.poll() is None:
            try:
                self.call("close")
            finally:
                self._commands.close()
                self._answers.close()
                self._process.wait(WAIT_LIMIT_S)
