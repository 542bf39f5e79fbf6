"""The system's socket buffers: what log metadata tells about them, and the checks at start (shm 7.2, 10.2)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from framelane.channel import UdpParams
from framelane.driver.model import DriverSettings
from framelane.errors import ConfigError
from framelane.shm.log_buffer import LogParams

__all__ = ["SocketBuffers", "check_granted_buffers", "granted_buffer"]


@dataclass(frozen=True)
class SocketBuffers:
    """The system's socket buffer lengths, which log metadata tells to tools; 0 where unknown."""

    default_send: int
    max_send: int
    default_receive: int
    max_receive: int

    @classmethod
    def of_system(cls) -> Self:
        """Read them from /proc."""
        return cls(*(_system_value(name) for name in ("wmem_default", "wmem_max", "rmem_default", "rmem_max")))

    def fill(self, params: LogParams, channel: UdpParams | None) -> LogParams:
        """Return log metadata with these and with what the channel asked for.

        :param channel: ``None`` for IPC.
        """
        return replace(
            params,
            socket_sndbuf_length=channel.socket_send_buffer_length if channel else 0,
            os_default_socket_sndbuf_length=self.default_send,
            os_max_socket_sndbuf_length=self.max_send,
            socket_rcvbuf_length=channel.socket_receive_buffer_length if channel else 0,
            os_default_socket_rcvbuf_length=self.default_receive,
            os_max_socket_rcvbuf_length=self.max_receive,
        )


def _system_value(name: str) -> int:
    try:
        return int(Path(f"/proc/sys/net/core/{name}").read_text())
    except (OSError, ValueError):
        return 0


def granted_buffer(option: int, asked: int) -> int:
    """Return what the system reports for a new UDP socket's buffer, bytes; it is up to twice what was asked for.

    :param option: ``socket.SO_SNDBUF`` or ``socket.SO_RCVBUF``.
    :param asked: bytes; 0: the default.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if asked:
            one.setsockopt(socket.SOL_SOCKET, option, asked)
        return one.getsockopt(socket.SOL_SOCKET, option)


def check_granted_buffers(
    settings: DriverSettings, warn: Callable[[str], None], granted: Callable[[int, int], int] = granted_buffer
) -> None:
    """Check mtu and window against the buffers that the system grants to sockets, as the stock driver does at start.

    :param warn: called with a text if it grants less than is asked for.
    :param granted: as :func:`granted_buffer`.
    :raises ConfigError: if a datagram or the initial window does not fit.
    """
    problems = []
    for option, key, asked, user, needed, limit in (
        (socket.SO_SNDBUF, "socket_so_sndbuf", settings.socket_so_sndbuf, "mtu_length", settings.mtu_length, "wmem"),
        (
            socket.SO_RCVBUF,
            "socket_so_rcvbuf",
            settings.socket_so_rcvbuf,
            "rcv_initial_window_length",
            settings.rcv_initial_window_length,
            "rmem",
        ),
    ):
        found = granted(option, asked)
        if found < asked:
            warn(f"driver.{key} = {asked}: the system grants {found} bytes; sysctl -w net.core.{limit}_max={asked}")
        if needed > found:
            problems.append(
                f"driver.{user} = {needed}: does not fit the {found} bytes that the system grants to a socket; raise "
                f"driver.{key}, and net.core.{limit}_max if that is less"
            )
    if problems:
        raise ConfigError("\n".join(problems), tuple(problems))
