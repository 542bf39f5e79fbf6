"""The conformance kit on the sockets transport: over loopback, and between two network namespaces with the far end in a
child process."""

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, Station, TransportPair
from framelane.transport.native import OpenTransport, open_transport
from framelane_sockets.plugin import framelane_transport

CLONE_NEWNET = 0x40000000


def open_sockets() -> OpenTransport:
    """Open the transport with its default settings; also called in the child."""
    return open_transport(framelane_transport())


class TestSocketsOverLoopback(BaseTransportConformance):
    """Without IPv6 multicast: the loopback interface has no route for it."""

    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        pair = TransportPair(
            near=Station(open_sockets()),
            far=Station(open_sockets()),
            reopen=open_sockets,
            ipv4=Family("127.0.0.1", "127.0.0.1", group="239.20.90.1", absent="192.0.2.1"),
            ipv6=Family("::1", "::1", absent="2001:db8::1"),
        )
        yield pair
        pair.close()


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Have this thread's new sockets belong to a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before, Path(f"/run/netns/{namespace}").open() as inside:
        if libc.setns(inside.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


@pytest.fixture(scope="class")
def namespaces() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair: 10.83.0.1 and fd83::1, 10.83.0.2 and fd83::2."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    near, far = (f"fl{os.getpid()}{end}" for end in "nf")
    run(f"ip netns add {near}")
    try:
        run(f"ip netns add {far}")
        run(f"ip -n {near} link add veth0 type veth peer name veth0 netns {far}")
        for namespace, number in ((near, 1), (far, 2)):
            run(f"ip -n {namespace} address add 10.83.0.{number}/24 dev veth0")
            run(f"ip -n {namespace} address add fd83::{number}/64 dev veth0 nodad")
            run(f"ip -n {namespace} link set veth0 up")
            run(f"ip -n {namespace} link set lo up")
        for namespace in (near, far):
            wait_for_route(namespace, "ff15::4241")
        yield near, far
    finally:
        run(f"ip netns delete {near}")
        run(f"ip netns delete {far}")


def wait_for_route(namespace: str, group: str) -> None:
    """Wait for the kernel's route to IPv6 groups, which it makes when it has seen the link, up to a second later."""
    deadline = time.monotonic() + 60
    command = ["ip", "-n", namespace, "-6", "route", "get", group]
    while subprocess.run(command, capture_output=True, timeout=20, check=False).returncode != 0:
        assert time.monotonic() < deadline, f"no route to {group} in {namespace} within 60 s"
        time.sleep(0.01)


@pytest.fixture(scope="class")
def far_station(namespaces: tuple[str, str]) -> Iterator[RemoteStation]:
    """The far end in the second namespace, for all cases."""
    # This file's name is the module that the child imports, so its directory is on the child's path.
    prefix = ("ip", "netns", "exec", namespaces[1], "env", f"PYTHONPATH={Path(__file__).parent}")
    station = RemoteStation(f"{Path(__file__).stem}:open_sockets", prefix)
    yield station
    station.close()


@pytest.mark.root
class TestSocketsBetweenNamespaces(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self, namespaces: tuple[str, str], far_station: RemoteStation) -> Iterator[TransportPair]:
        with entered(namespaces[0]):
            far_station.near = Station(open_sockets())
            yield TransportPair(
                near=far_station.near,
                far=far_station,
                reopen=open_sockets,
                ipv4=Family("10.83.0.1", "10.83.0.2", group="239.20.90.1", absent="192.0.2.1"),
                ipv6=Family("fd83::1", "fd83::2", group="ff15::4241", absent="2001:db8::1"),
            )
            far_station.reset()
            far_station.near.close()
