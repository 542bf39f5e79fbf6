"""Network namespaces, and veth pairs between them: hosts on one machine. All of it needs root."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LEFT", "RIGHT", "Link", "command_line", "inside", "linked_namespaces", "new_namespace", "run_in"]

LEFT = "10.77.0.1"
RIGHT = "10.77.0.2"

_CLONE_NEWNET = 0x40000000
_made = itertools.count()


def command_line(*words: str, limit_s: float = 60) -> str:
    """Run a program that must succeed, without the sanitizer that this process may be preloaded with.

    :returns: what it printed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=limit_s, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def run_in(namespace: str, *words: str) -> str:
    """Run a program in a namespace; see :func:`command_line`."""
    return command_line("ip", "netns", "exec", namespace, *words)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have the calling thread, the sockets that it opens and what it starts, in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")

    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", namespace).open() as there:
        enter(there.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


@contextmanager
def new_namespace(*, has_loopback: bool = True) -> Iterator[str]:
    """Make a namespace of a name that no other has; it goes at the end.

    :param has_loopback: whether its loopback interface is up.
    """
    name = f"fl{os.getpid()}n{next(_made)}"
    command_line("ip", "netns", "add", name)
    try:
        if has_loopback:
            command_line("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        command_line("ip", "netns", "delete", name)


@dataclass(frozen=True)
class Link:
    """Two namespaces that a veth pair joins; its device is called ``eth0`` in each.

    :ivar addresses: of the left one and of the right one, with prefix lengths.
    :ivar has_offload: whether checksums are left to the device, which a veth pair leaves to nobody; without, the ends
        compute them as machines behind a cable do.
    """

    left: str
    right: str
    addresses: tuple[tuple[str, ...], tuple[str, ...]] = ((f"{LEFT}/24",), (f"{RIGHT}/24",))
    has_offload: bool = True

    @property
    def left_address(self) -> str:
        return self.addresses[0][0].partition("/")[0]

    @property
    def right_address(self) -> str:
        return self.addresses[1][0].partition("/")[0]

    run = staticmethod(run_in)
    inside = staticmethod(inside)

    def delete_pair(self) -> None:
        """Delete the veth pair, addresses and routes with it."""
        command_line("ip", "-n", self.left, "link", "delete", "eth0")

    def make_pair(self, mtu: int = 1500, queues: int = 1) -> None:
        """Make the veth pair, with the same addresses each time, and interfaces of other indexes."""
        shape = f"numrxqueues {queues} numtxqueues {queues}" if queues > 1 else ""
        pair = f"ip link add eth0 {shape} netns {self.left} type veth peer {shape} name eth0 netns {self.right}"
        command_line(*pair.split())
        for name, addresses in zip((self.left, self.right), self.addresses, strict=True):
            for address in addresses:
                command_line("ip", "-n", name, "address", "add", address, "dev", "eth0", *_nodad(address))
            command_line("ip", "-n", name, "link", "set", "eth0", "mtu", str(mtu), "up")
            command_line("ip", "-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")
            if not self.has_offload:
                run_in(name, "ethtool", "-K", "eth0", "tx", "off")


def _nodad(address: str) -> list[str]:
    return ["nodad"] if ":" in address else []


@contextmanager
def linked_namespaces(
    *, ipv6: bool = False, has_offload: bool = True, mtu: int = 1500, queues: int = 1
) -> Iterator[Link]:
    """Make two namespaces with a veth pair, 10.77.0.1 and 10.77.0.2; they go at the end.

    :param ipv6: the ends have fd77::1 and fd77::2 as well.
    :param has_offload: see :class:`Link`.
    """
    with ExitStack() as stack:
        left, right = (stack.enter_context(new_namespace()) for _ in range(2))
        more = (("fd77::1/64",), ("fd77::2/64",)) if ipv6 else ((), ())
        link = Link(left, right, ((f"{LEFT}/24", *more[0]), (f"{RIGHT}/24", *more[1])), has_offload)
        link.make_pair(mtu, queues)
        yield link
