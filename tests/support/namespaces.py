"""Two network namespaces joined by a veth pair: two hosts on one machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

__all__ = ["LEFT", "RIGHT", "Link", "linked_namespaces", "require_namespaces"]

LEFT = "10.77.0.1"
RIGHT = "10.77.0.2"


@dataclass(frozen=True)
class Link:
    """The namespaces' names and the addresses in them; the device is called ``eth0`` in each."""

    left: str
    right: str
    left_address: str = LEFT
    right_address: str = RIGHT

    def delete_pair(self) -> None:
        """Delete the veth pair, addresses and routes with it."""
        _ip("-n", self.left, "link", "delete", "eth0")

    def make_pair(self) -> None:
        """Make the veth pair, with the same addresses each time, and interfaces of other indexes."""
        _ip("-n", self.left, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.right)
        for name, address in ((self.left, self.left_address), (self.right, self.right_address)):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")


def require_namespaces() -> None:
    """Skip where namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    if shutil.which("ip") is None:
        pytest.skip("needs the program ip (package iproute2)")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)


@contextmanager
def linked_namespaces() -> Iterator[Link]:
    """Make both namespaces; they go at the end."""
    link = Link(f"fl{os.getpid()}a", f"fl{os.getpid()}b")
    made = []
    try:
        for name in (link.left, link.right):
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        link.make_pair()
        yield link
    finally:
        for name in made:
            _ip("netns", "delete", name)
