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
    NativeTransport,
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


class UdpMinimalTransport:
    """An open transport: holds what the native half was given."""

    capabilities = CAPABILITIES

    def __init__(self, context: OpenContext) -> None:
        from framelane_udp_minimal._native import ffi, lib

        self._ffi, self._lib = ffi, lib
        self._transport = lib.udp_minimal_open(ffi.cast("fl_host_t *", context.host))
        if self._transport == ffi.NULL:
            raise TransportError("transport 'udp-minimal' cannot be opened: no memory")

    @property
    def native(self) -> NativeTransport:
        address = self._ffi.typeof("uintptr_t")
        return NativeTransport(
            ops=int(self._ffi.cast(address, self._lib.udp_minimal_ops())),
            object=int(self._ffi.cast(address, self._transport)),
        )

    def close(self) -> None:
        if self._lib.udp_minimal_close(self._transport) != 0:
            raise TransportError("transport 'udp-minimal' cannot be closed: endpoints or the poller are still open")


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
