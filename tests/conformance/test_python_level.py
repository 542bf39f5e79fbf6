"""The conformance kit on the adapter of level ``python``, through the example in examples/framelane-queue."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport, open_transport

SOURCE = Path(__file__).parents[2] / "examples/framelane-queue/src/framelane_queue/__init__.py"


def load_example() -> object:
    spec = importlib.util.spec_from_file_location("framelane_queue", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = load_example()


def open_queue() -> OpenTransport:
    return open_transport(EXAMPLE.framelane_transport())


class TestPythonLevel(BaseTransportConformance):
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


def test_the_example_is_under_80_lines() -> None:
    assert len(SOURCE.read_text().splitlines()) < 80
