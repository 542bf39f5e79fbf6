"""Where a benchmark runs: on loopback, or between two network namespaces that it makes."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from framelane.errors import FramelaneError
from framelane.transport.arrangement import VETH_INTERFACE

__all__ = ["FIRST_PORT", "PORTS", "Site", "loopback", "veth_pair"]


#: A benchmark uses this many UDP ports at an end, the first of them here where it has the network to itself.
PORTS = 3
FIRST_PORT = 20321
_LAST_PORT = 32767


@dataclass(frozen=True)
class Site:
    """One end: which address and ports it has and how a command is started there."""

    address: str
    prefix: tuple[str, ...] = ()  #: before a command
    port: int = FIRST_PORT  #: first of ``PORTS``


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FramelaneError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _bind(address: str, port: int) -> socket.socket | None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((address, port))
    except OSError:
        bound.close()
        return None
    return bound


def _take_ports(address: str, first: int) -> socket.socket | None:
    """Take free ports: loops come and go on all but the one behind them, which is held to say that these are taken."""
    with ExitStack() as asked:
        for port in range(first, first + PORTS):
            asker = _bind(address, port)
            if asker is None:
                return None
            asked.enter_context(asker)
        return _bind(address, first + PORTS)


@contextmanager
def loopback() -> Iterator[tuple[Site, Site]]:
    """Both ends on 127.0.0.1, at ports that nobody uses, such as another benchmark.

    :raises FramelaneError: if there are none.
    """
    address = "127.0.0.1"
    for first in range(FIRST_PORT, _LAST_PORT - PORTS, PORTS + 1):
        held = _take_ports(address, first)
        if held is not None:
            with held:
                site = Site(address, port=first)
                yield site, site
            return
    raise FramelaneError(
        f"no {PORTS + 1} neighbouring UDP ports of {address} from {FIRST_PORT} to {_LAST_PORT} are free: end what "
        "holds them (`ss -lunp` shows who), or measure with --veth"
    )


@contextmanager
def veth_pair(addresses: tuple[str, str] = ("10.73.0.1", "10.73.0.2")) -> Iterator[tuple[Site, Site]]:
    """Two namespaces joined by a veth pair, removed afterwards. Its interface has the same name at both ends.

    :raises FramelaneError: without root, or without iproute2.
    """
    if os.geteuid() != 0:
        raise FramelaneError("a veth pair between network namespaces needs root: run as root, or measure without")
    names = [f"framelane-{os.getpid()}-{end}" for end in "ab"]
    interface = VETH_INTERFACE
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        link = f"ip link add {interface} netns {names[0]} type veth peer name {interface} netns {names[1]}"
        _run(*link.split())
        for name, address in zip(names, addresses, strict=True):
            _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", interface)
            _run("ip", "-n", name, "link", "set", interface, "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
        first, second = (
            Site(address, ("ip", "netns", "exec", name)) for name, address in zip(names, addresses, strict=True)
        )
        yield first, second
    finally:
        for name in names:  # whether it was made or not
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
