"""The socket file of a memif server: that of a process which was killed is in the way of the next one."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

__all__ = ["DEFAULT_SOCKET", "remove_abandoned"]

#: What DPDK takes where no ``socket`` is given.
DEFAULT_SOCKET = "/run/memif.sock"
GREETING_LIMIT_S = 1.0


def remove_abandoned(path: str) -> bool:
    """Remove a socket file at which nobody listens. Returns whether there was one.

    Whatever else is at that path stays, and DPDK says that it cannot use it.
    """
    file = Path(path)
    if file.is_symlink() or not file.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker, contextlib.suppress(OSError):
        asker.settimeout(GREETING_LIMIT_S)
        try:
            asker.connect(path)
            asker.recv(256)  # a server whose greeting finds nobody any more panics (DPDK 21.11 to 26.07)
        except ConnectionRefusedError:
            file.unlink()
            return True
    return False
