"""The conformance kit on the VMA transport, over the stand-in for libvma: some datagrams are read where the
library has them, some come in pieces, some are copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport
from support.transport_pairs import open_plugin
from support.vma import STAND_IN_WORDS, VARIABLE, build_stand_in, figures


@pytest.fixture(scope="module")
def library() -> Path:
    return build_stand_in()


class TestVmaOverTheStandIn(BaseTransportConformance):
    """Both ends in this process, on loopback."""

    @pytest.fixture
    def transport_pair(self, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TransportPair]:
        monkeypatch.setenv(VARIABLE, STAND_IN_WORDS)

        def open_end() -> OpenTransport:
            return open_plugin("vma", {"library": str(library), "interfaces": ("lo",)})

        pair = TransportPair(
            near=Station(open_end()),
            far=Station(open_end()),
            reopen=open_end,
            ipv4=Family("127.0.0.1", "127.0.0.1", group="239.20.90.1", absent="192.0.2.1"),
        )
        yield pair
        pair.close()
        assert figures(library)["held"] == 0, "a packet was not given back"
