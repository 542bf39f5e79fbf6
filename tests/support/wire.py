"""A wire between a stack under test and the Linux kernel: a raw socket at one end of a veth pair,
the kernel at the other.
"""

from __future__ import annotations

import select
import socket
import subprocess
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from support.control_stack import TICK
from support.namespaces import inside

ETH_P_ALL = 3
PACKET_OUTGOING = 4


def take_from_kernel(namespace: str, device: str = "eth0") -> None:
    """Leave a device to whoever reads its frames: without addresses the kernel answers nothing on it."""
    commands = [
        ["address", "flush", "dev", device],
        ["link", "set", device, "down"],
        ["link", "set", device, "addrgenmode", "none"],
        ["link", "set", device, "up"],
    ]
    for words in commands:
        subprocess.run(["ip", "-n", namespace, *words], check=True, capture_output=True, timeout=20)


def mac_of(namespace: str, device: str = "eth0") -> str:
    """The MAC address of a device."""
    command = ["ip", "-n", namespace, "-br", "link", "show", "dev", device]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.split()[2]


class Stack(Protocol):
    """What has frames to be moved."""

    def tick(self) -> None: ...

    def take_in(self, frame: bytes) -> None: ...

    def sent_bytes(self) -> list[bytes]: ...


class Wire:
    """Moves frames between a stack and a device.

    :param speed: how many ticks of the stack's clock pass in the time of one. The kernel's clock is real; it answers
        within a tick all the same.
    """

    def __init__(self, stack: Stack, namespace: str, device: str = "eth0", speed: int = 1) -> None:
        self._stack = stack
        self._interval = TICK / 1e9 / speed
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self._socket.bind((device, 0))
        self._next = time.monotonic() + self._interval

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def run_until(self, condition: Callable[[], bool], limit: float = 30) -> None:
        """Move frames until the condition holds, looked at in every tick of the stack's clock.

        :param limit: seconds of real time.
        :raises AssertionError: if it does not hold in time.
        """
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, "the condition did not come true in time"
            while (left := self._next - time.monotonic()) > 0:
                self._move_frames(left)
            # The stack's clock does not catch up, and what arrived while this process stood still goes first.
            self._move_frames(0)
            self._next = max(self._next, time.monotonic() - self._interval) + self._interval
            self._stack.tick()
            self._flush()

    def run_beside(self, *command: str, limit: float = 60) -> str:
        """Move frames while a command runs. Returns what it printed; it must end with status 0."""
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                self.run_until(lambda: process.poll() is not None, limit)
            finally:
                process.kill()
            assert process.stdout is not None
            printed = process.stdout.read()
        assert process.returncode == 0, printed
        return printed

    def _move_frames(self, timeout: float) -> None:
        while select.select([self._socket], [], [], timeout)[0]:
            frame, (_, _, kind, _, _) = self._socket.recvfrom(65536)
            if kind != PACKET_OUTGOING:
                self._stack.take_in(frame)
            self._flush()
            timeout = 0

    def _flush(self) -> None:
        for frame in self._stack.sent_bytes():
            self._socket.send(frame)
