"""The conformance kit on DPDK's net_af_packet, whose interface stays with Linux, facing sockets in a child process.

Run by ``test_dpdk.py`` inside the near one of two namespaces; ``FAR_NAMESPACE`` names the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, TransportPair
from framelane.transport.native import OpenTransport
from support.transport_pairs import far_end, open_plugin, paired

IPV4 = Family("10.77.0.1", "10.77.0.2", group="239.20.90.1", absent="192.0.2.1")
IPV6 = Family("fd77::1", "fd77::2", group="ff15::4241", absent="2001:db8::1")
SETTINGS = {
    "vdev": "net_af_packet",
    "vdev_args": {"iface": "eth0"},
    "rx_queue_size": 512,
    "tx_queue_size": 512,
    "link_wait_ms": 10_000,
}


def open_near() -> OpenTransport:
    return open_plugin("dpdk", SETTINGS)


class TestAfPacketToSockets(BaseTransportConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def far_station(cls) -> Iterator[RemoteStation]:
        with far_end("sockets", {}, ("ip", "netns", "exec", os.environ["FAR_NAMESPACE"])) as station:
            yield station

    @pytest.fixture
    def transport_pair(self, far_station: RemoteStation) -> Iterator[TransportPair]:
        with paired(far_station, open_near, IPV4, IPV6) as pair:
            yield pair
