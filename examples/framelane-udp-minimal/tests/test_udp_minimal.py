"""The conformance kit on the example."""

from collections.abc import Iterator

import pytest
from framelane_udp_minimal import framelane_transport

from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport, open_transport


def open_udp() -> OpenTransport:
    return open_transport(framelane_transport())


class TestUdpMinimal(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        pair = TransportPair(
            near=Station(open_udp()),
            far=Station(open_udp()),
            reopen=open_udp,
            ipv4=Family("127.0.0.1", "127.0.0.1", absent="192.0.2.1"),
        )
        yield pair
        pair.close()
