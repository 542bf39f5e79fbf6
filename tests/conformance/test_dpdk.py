"""The conformance kit on the DPDK transport: virtual devices within a process, between two, and facing Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, Station, TransportPair
from framelane.transport.native import OpenTransport
from support.namespaces import Link
from support.transport_pairs import far_end, open_plugin, paired, resolve

pytest.importorskip("framelane_dpdk._native", reason="built without libdpdk", exc_type=ImportError)

NOBODY = 65534
IPV4 = Family("10.77.0.1", "10.77.0.2", group="239.20.90.1", absent="192.0.2.1")
IPV6 = Family("fd77::1", "fd77::2", group="ff15::4241", absent="2001:db8::1")
#: Small enough for several in one environment of plain pages, and quick to open again.
SIZES = {"rx_queue_size": 512, "tx_queue_size": 512}


def vdev(name: str, host: int, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a device whose addresses Linux does not know."""
    addresses = [f"10.77.0.{host}/24", f"fd77::{host}/64"]
    return {"vdev": name, "vdev_args": arguments, "addresses": addresses, "neighbours": "own", **SIZES}


def memif(host: int, role: str) -> dict[str, Any]:
    """Return the settings of an end of a memif, whose socket has a name of this test process and no file.

    Its MAC address is the same at each opening, as that of an adapter is.
    """
    socket = f"framelane-test-{os.getpid()}"
    arguments = {"role": role, "socket": socket, "socket-abstract": True, "mac": f"02:00:00:00:00:0{host}"}
    return vdev("net_memif", host, arguments)


class TestRing(BaseTransportConformance):
    """Both ends in this process."""

    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        def open_end(host: int) -> OpenTransport:
            return open_plugin("dpdk", vdev("net_ring", host, {"link": "pair"}))

        pair = TransportPair(
            near=Station(open_end(1)), far=Station(open_end(2)), reopen=lambda: open_end(1), ipv4=IPV4, ipv6=IPV6
        )
        try:
            resolve(pair)
            yield pair
        finally:
            pair.close()


class TestMemif(BaseTransportConformance):
    """The far end is a process without any privilege."""

    @pytest.fixture(scope="class")
    @classmethod
    def far_station(cls) -> Iterator[RemoteStation]:
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:
            prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
        with far_end("dpdk", memif(2, "server") | {"link_wait_ms": 0}, prefix) as station:
            yield station

    @pytest.fixture
    def transport_pair(self, far_station: RemoteStation) -> Iterator[TransportPair]:
        def open_near() -> OpenTransport:
            return open_plugin("dpdk", memif(1, "client") | {"link_wait_ms": 10_000})

        with paired(far_station, open_near, IPV4, IPV6) as pair:
            yield pair


@pytest.mark.root
def test_af_packet_to_sockets(wire: Link) -> None:
    """In a process of its own: DPDK, which a process starts once, stays in the namespace where that was."""
    cases = Path(__file__).with_name("af_packet_cases.py")
    command = ["ip", "netns", "exec", wire.left, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases]
    done = subprocess.run(
        command, env=os.environ | {"FAR_NAMESPACE": wire.right}, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout
