"""The conformance kit on the ef_vi transport over the stand-in for its library, in both receive models, on a veth pair.

Run by test_efvi.py in the environment where the plugin is built against the stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from framelane.testing import BaseTransportConformance, Family, RemoteStation, TransportPair
from framelane.transport.native import OpenTransport
from support.namespaces import Link, inside
from support.transport_pairs import far_end, open_plugin, paired

IPV4 = Family("10.77.0.1", "10.77.0.2", group="239.20.90.1", absent="192.0.2.1")
IPV6 = Family("fd77::1", "fd77::2", group="ff15::4241", absent="2001:db8::1")


class EfviConformance(BaseTransportConformance):
    """The kit, with each end's adapter and transport as class variables."""

    model: ClassVar[str]
    near_settings: ClassVar[dict[str, Any]] = {"interface": "eth0"}
    far: ClassVar[tuple[str, dict[str, Any]]] = ("sockets", {})
    far_model: ClassVar[str] = "x2522"

    @pytest.fixture(scope="class")
    @classmethod
    def far_station(cls, wire: Link) -> Iterator[RemoteStation]:
        """The far end, for all cases of a class; they run at the near one."""
        prefix = ("env", f"FRAMELANE_CIUL=eth0 model={cls.far_model}", "ip", "netns", "exec", wire.right)
        with inside(wire.left), far_end(*cls.far, prefix=prefix) as station:
            yield station

    @pytest.fixture
    def transport_pair(self, far_station: RemoteStation, monkeypatch: pytest.MonkeyPatch) -> Iterator[TransportPair]:
        monkeypatch.setenv("FRAMELANE_CIUL", f"eth0 model={self.model}")
        with paired(far_station, self.open_near, IPV4, IPV6) as pair:
            yield pair

    def open_near(self) -> OpenTransport:
        return open_plugin("efvi", self.near_settings)


class TestDescriptorRingsToSockets(EfviConformance):
    """An X2: CTPIO, with its fallback."""

    model = "x2522"


class TestSharedQueuesToDescriptorRings(EfviConformance):
    """An X3 and an SFN8522, which sends by PIO and DMA."""

    model = "x3522"
    far = ("efvi", {"interface": "eth0"})
    far_model = "sfn8522"
