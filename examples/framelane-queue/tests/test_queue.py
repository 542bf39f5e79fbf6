"""The conformance kit on the example; the one fixture is all that a plugin supplies."""

from collections.abc import Iterator

import pytest
from framelane_queue import framelane_transport

from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport, open_transport


def open_queue() -> OpenTransport:
    return open_transport(framelane_transport())


class TestQueue(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        pair = TransportPair(
            near=Station(open_queue()),
            far=Station(open_queue()),
            reopen=open_queue,
            ipv4=Family("127.0.0.1", "127.0.0.1", absent="192.0.2.1"),
            ipv6=Family("::1", "::1", absent="2001:db8::1"),
        )
        yield pair
        pair.close()
