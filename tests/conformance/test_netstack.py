"""The conformance kit on two netstacks over ports in memory, each the other's far end."""

from collections.abc import Iterator

import pytest

from framelane._native import lib
from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.testing.memory_port import MemoryPort
from framelane.testing.station import Run
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport

NEAR = ["10.0.0.1/24", "fd00::1/64"]
FAR = ["10.0.0.2/24", "fd00::2/64"]
IPV4 = Family("10.0.0.1", "10.0.0.2", group="239.20.90.1", absent="10.0.0.9")
IPV6 = Family("fd00::1", "fd00::2", group="ff15::4241", absent="fd00::9")


class NetstackPair:
    """Makes the pairs of one test."""

    def __init__(self, offloads: int = 0, vlan: int = 0xFFFF, **options: int) -> None:
        self.vlan = vlan
        self.options = {"offloads": offloads, "ring_length": 1024, "filters_groups": 1, **options}
        self.far_port = MemoryPort("02:00:00:00:00:02", **self.options)
        self.far = self.far_port.open_netstack(FAR, vlan=vlan)
        self.pair = TransportPair(
            near=Station(self.open_near()), far=Station(self.far), reopen=self.open_near, ipv4=IPV4, ipv6=IPV6
        )

        for family in self.pair.families:
            resolve(self.pair, family)

    def open_near(self) -> OpenTransport:
        self.near_port = MemoryPort("02:00:00:00:00:01", **self.options)
        transport = self.near_port.open_netstack(NEAR, vlan=self.vlan)
        self.near_port.connect(self.far_port)
        return transport

    def check(self) -> None:
        """No frame was released twice or late, and none is missing."""
        totals = self.far_port.totals()
        assert (totals.double_releases, totals.late_calls, totals.bad_frames) == (0, 0, 0)


def resolve(pair: TransportPair, family: Family) -> None:
    """Let each end find the other, so that the first run of a case is not held up as more than a neighbour may have."""
    far = pair.far.open(bind=Address.of(family.far))
    near = pair.near.open(bind=Address.of(family.near))
    near.send_all([Run(b"there", peer=far.local)])
    far.send_all([Run(b"back", peer=near.local)])
    assert len(far.receive(1)) == len(near.receive(1)) == 1
    near.close()
    far.close()


class TestNetstack(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        made = NetstackPair()
        yield made.pair
        made.check()
        made.pair.close()


class TestNetstackWithOffloadsAndTag(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        offloads = lib.FL_PORT_TX_CHECKSUM_IPV4 | lib.FL_PORT_TX_CHECKSUM_UDP | lib.FL_PORT_TX_PAYLOAD
        made = NetstackPair(offloads | lib.FL_PORT_LOOPS_BACK, vlan=7)
        yield made.pair
        made.check()
        made.pair.close()
