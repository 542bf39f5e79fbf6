"""The conformance kit on the AF_XDP transport over a veth pair, with the far end in a child process in the other
namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, TransportPair
from framelane.transport.native import OpenTransport
from support.namespaces import Link, inside
from support.transport_pairs import far_end, open_plugin, paired

pytest.importorskip("framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError)

pytestmark = pytest.mark.root

IPV4 = Family("10.77.0.1", "10.77.0.2", group="239.20.90.1", absent="192.0.2.1")
IPV6 = Family("fd77::1", "fd77::2", group="ff15::4241", absent="2001:db8::1")


class XdpConformance(BaseTransportConformance):
    """The kit, with both ends' settings as class variables."""

    near_settings: ClassVar[dict[str, Any]] = {"interface": "eth0", "mode": "native"}
    far: ClassVar[tuple[str, dict[str, Any]]] = ("sockets", {})

    @pytest.fixture(scope="class")
    @classmethod
    def far_station(cls, wire: Link) -> Iterator[RemoteStation]:
        """The far end, for all cases of a class; they run at the near one."""
        with inside(wire.left), far_end(*cls.far, prefix=("ip", "netns", "exec", wire.right)) as station:
            yield station

    @pytest.fixture
    def transport_pair(self, far_station: RemoteStation) -> Iterator[TransportPair]:
        with paired(far_station, self.open_near, IPV4, IPV6) as pair:
            yield pair

    def open_near(self) -> OpenTransport:
        return open_plugin("xdp", self.near_settings)


class TestNativeXdpToSockets(XdpConformance):
    pass


class TestGenericXdpToXdp(XdpConformance):
    near_settings: ClassVar[dict[str, Any]] = {"interface": "eth0", "mode": "generic"}
    far: ClassVar[tuple[str, dict[str, Any]]] = ("xdp", {"interface": "eth0", "mode": "native"})
