"""The conformance kit on the sockets transport: over loopback, and between two network namespaces with the far end in a
child process."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, Station, TransportPair
from framelane.transport.native import OpenTransport, open_transport
from framelane_sockets.plugin import framelane_transport
from support.namespaces import Link, inside, linked_namespaces
from support.processes import wait_until

HERE = Path(__file__).parent


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


@pytest.fixture(scope="class")
def namespaces() -> Iterator[Link]:
    """Two namespaces joined by a veth pair, with IPv4 and IPv6."""
    with linked_namespaces(ipv6=True) as joined:
        for namespace in (joined.left, joined.right):
            wait_until(lambda namespace=namespace: has_route(namespace, "ff15::4241"), "the route to IPv6 groups")
        yield joined


def has_route(namespace: str, group: str) -> bool:
    """Whether the kernel has made its route to IPv6 groups, which it does up to a second after it has seen the link."""
    command = ["ip", "-n", namespace, "-6", "route", "get", group]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.fixture(scope="class")
def far_station(namespaces: Link) -> Iterator[RemoteStation]:
    """The far end in the second namespace, for all cases."""
    # This file's name is the module that the child imports, so its directory is on the child's path.
    prefix = ("ip", "netns", "exec", namespaces.right, "env", f"PYTHONPATH={HERE}{os.pathsep}{HERE.parent}")
    station = RemoteStation(f"{Path(__file__).stem}:open_sockets", prefix)
    yield station
    station.close()


@pytest.mark.root
class TestSocketsBetweenNamespaces(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self, namespaces: Link, far_station: RemoteStation) -> Iterator[TransportPair]:
        with inside(namespaces.left):
            far_station.near = Station(open_sockets())
            yield TransportPair(
                near=far_station.near,
                far=far_station,
                reopen=open_sockets,
                ipv4=Family("10.77.0.1", "10.77.0.2", group="239.20.90.1", absent="192.0.2.1"),
                ipv6=Family("fd77::1", "fd77::2", group="ff15::4241", absent="2001:db8::1"),
            )
            far_station.reset()
            far_station.near.close()
