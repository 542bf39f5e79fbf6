"""Opening a plugin's transport: what is checked, and what is undone when it fails."""

from collections.abc import Callable
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.errors import FramelaneError, NativeError, TransportError
from framelane.transport.native import open_transport
from framelane.transport.spec import (
    Capabilities,
    Level,
    NativeTransport,
    OpenContext,
    TransportSettings,
    TransportSpec,
    Verdict,
)


class Settings(TransportSettings):
    colour: str = "green"


class Recorded:
    """A transport without anything behind it."""

    capabilities = Capabilities()

    def __init__(self, native: NativeTransport | None) -> None:
        self.native = native
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def spec(opener: Callable[[Settings, OpenContext], Any], level: Level = Level.DATAGRAM) -> TransportSpec:
    return TransportSpec("odd", "for tests", 1, level, Settings, lambda _settings: Verdict(usable=True), opener)


def table(**changes: int) -> tuple[Any, NativeTransport]:
    ops = ffi.new("fl_transport_ops_t *", ffi.cast("fl_transport_ops_t *", lib.fl_simnet_ops())[0])
    for name, value in changes.items():
        setattr(ops, name, value)
    address = int(ffi.cast("uintptr_t", ops))
    return ops, NativeTransport(address, address)


def test_settings_are_the_defaults_if_none_are_given() -> None:
    seen = []

    def refuse(settings: Settings, context: OpenContext) -> None:
        seen.append((settings.colour, context.driver_name, context.host != 0))
        raise TransportError("no device")

    with pytest.raises(TransportError, match="no device"):
        open_transport(spec(refuse), driver_name="here")
    assert seen == [("green", "here", True)]


def test_a_transport_of_another_abi_is_closed_again() -> None:
    ops, native = table(abi_version=2)
    transport = Recorded(native)
    with pytest.raises(NativeError, match="ABI version is 2, this driver's is 1"):
        open_transport(spec(lambda _settings, _context: transport))
    assert transport.closed == 1
    del ops


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (Level.DATAGRAM, "is of level datagram but its open gave no native half"),
        (Level.PYTHON, "is of level python but has no open_endpoint, close_endpoint, send, poll, fileno"),
    ],
)
def test_a_transport_that_lacks_what_its_level_needs_is_closed_again(level: Level, message: str) -> None:
    transport = Recorded(None)
    with pytest.raises(FramelaneError, match=message):
        open_transport(spec(lambda _settings, _context: transport, level))
    assert transport.closed == 1


def test_a_transport_is_closed_once_by_its_own_close() -> None:
    ops, native = table()
    transport = Recorded(native)
    opened = open_transport(spec(lambda _settings, _context: transport))
    opened.close()
    opened.close()
    assert (transport.closed, opened.is_closed) == (1, True)
    with pytest.raises(TransportError, match="'odd' is closed"):
        _ = opened.binding
    del ops
