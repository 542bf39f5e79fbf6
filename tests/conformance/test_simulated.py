"""The conformance kit on the simulated network, plain, behind the fault wrapper without faults, and captured."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport
from framelane.transport.simulated import SimulatedNetwork
from framelane.transport.wrappers import wrap_capture, wrap_faults

NEAR = ["10.0.0.1", "fd00::1"]
FAR = ["10.0.0.2", "fd00::2"]
IPV4 = Family("10.0.0.1", "10.0.0.2", group="239.20.90.1", absent="10.0.0.9")
IPV6 = Family("fd00::1", "fd00::2", group="ff15::4241", absent="fd00::9")


class TestSimulatedNetwork(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        net = SimulatedNetwork()
        pair = TransportPair(
            near=Station(net.attach(NEAR)),
            far=Station(net.attach(FAR)),
            reopen=lambda: net.attach(NEAR),
            ipv4=IPV4,
            ipv6=IPV6,
        )
        yield pair
        pair.close()
        net.close()


class TestFaultWrapperWithoutFaults(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        net = SimulatedNetwork()

        def wrapped(addresses: list[str]) -> OpenTransport:
            return wrap_faults(net.attach(addresses), seed=1).transport

        pair = TransportPair(
            near=Station(wrapped(NEAR)),
            far=Station(wrapped(FAR)),
            reopen=lambda: wrapped(NEAR),
            ipv4=IPV4,
            ipv6=IPV6,
        )
        yield pair
        pair.close()
        net.close()


class TestCapture(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self, tmp_path: Path) -> Iterator[TransportPair]:
        net = SimulatedNetwork()

        def captured() -> OpenTransport:
            return wrap_capture(net.attach(NEAR), tmp_path / "capture.pcap").transport

        pair = TransportPair(
            near=Station(captured()), far=Station(net.attach(FAR)), reopen=captured, ipv4=IPV4, ipv6=IPV6
        )
        yield pair
        pair.close()
        net.close()
