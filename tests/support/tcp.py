"""A TCP transfer through the kernel, beside whatever is tested."""

from __future__ import annotations

import hashlib
import socket
import sys

__all__ = ["receive_all", "sender_command"]

#: Connects, sends bytes that follow from a seed, and prints their digest.
_SENDER = """
import hashlib, random, socket, sys
seeded, digest, left = random.Random(1), hashlib.sha256(), int(sys.argv[3])
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as connection:
    while left:
        piece = seeded.randbytes(min(left, 1 << 20))
        left -= len(piece)
        digest.update(piece)
        connection.sendall(piece)
print(digest.hexdigest())
"""


def sender_command(listener: socket.socket, length: int) -> list[str]:
    """Return a program that sends so many bytes to a listening socket, and prints their SHA-256."""
    address, port = listener.getsockname()[:2]
    return [sys.executable, "-c", _SENDER, address, str(port), str(length)]


def receive_all(listener: socket.socket, timeout_s: float = 60) -> tuple[int, str]:
    """Take one connection and all that comes over it; returns how many bytes, and their SHA-256."""
    listener.settimeout(timeout_s)
    connection, _ = listener.accept()
    digest, length = hashlib.sha256(), 0
    with connection:
        connection.settimeout(timeout_s)
        while piece := connection.recv(1 << 20):
            digest.update(piece)
            length += len(piece)
    return length, digest.hexdigest()
