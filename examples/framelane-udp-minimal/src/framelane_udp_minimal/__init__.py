"""A frame transport in C, IPv4 over sendto and recvfrom: the Python half.

Importing this loads nothing native: discovery imports every plugin, and a library that is missing is to be a reported
fact, not a traceback.
"""

from __future__ import annotations

from framelane.errors import TransportError
from framelane.transport import (
    Capabilities,
    Fact,
    Level,
    NativeHalf,
    Obstacle,
    OpenContext,
    TransportSettings,
    TransportSpec,
    Verdict,
    hookimpl,
)

#: Of the headers that c/udp_minimal.c was written against.
ABI_VERSION = 1

CAPABILITIES = Capabilities(loops_back=True)


class UdpMinimalSettings(TransportSettings):
    """The table ``[transport.udp-minimal]``: there is nothing to set."""


class UdpMinimalTransport(NativeHalf):
    """An open transport."""

    def __init__(self, context: OpenContext) -> None:
        from framelane_udp_minimal._native import ffi, lib

        transport = lib.udp_minimal_open(ffi.cast("fl_host_t *", context.host))
        if transport == ffi.NULL:
            raise TransportError("transport 'udp-minimal' cannot be opened: no memory")
        super().__init__("udp-minimal", ffi, lib.udp_minimal_ops(), transport, CAPABILITIES)


def probe(_settings: UdpMinimalSettings) -> Verdict:
    """Look, do not open: whether the native half loads."""
    try:
        from framelane_udp_minimal import _native
    except ImportError as error:
        obstacle = Obstacle("the native half", str(error), __file__, "reinstall framelane-udp-minimal")
        return Verdict(usable=False, obstacles=(obstacle,))
    return Verdict(usable=True, capabilities=CAPABILITIES, facts=(Fact("native half", str(_native.__file__)),))


@hookimpl
def framelane_transport() -> TransportSpec:
    return TransportSpec(
        name="udp-minimal",
        summary="IPv4 over sendto and recvfrom, an example",
        abi_version=ABI_VERSION,
        level=Level.DATAGRAM,
        settings=UdpMinimalSettings,
        probe=probe,
        open=lambda _settings, context: UdpMinimalTransport(context),
    )
