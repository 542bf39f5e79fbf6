"""The entry point: what the VMA transport is, and how it is opened.

The native module, and with it VMA, is loaded by ``probe`` and ``open``, not by importing this one.
"""

from __future__ import annotations

from framelane.errors import TransportError
from framelane.transport import Capabilities, Level, NativeTransport, OpenContext, TransportSpec, hookimpl
from framelane_vma import environment
from framelane_vma.library import Library, load
from framelane_vma.probe import capabilities_of, probe
from framelane_vma.settings import VmaSettings

__all__ = ["VmaTransport", "framelane_transport", "open_transport"]

#: ``FL_ABI_VERSION`` of the headers that this plugin is written against.
ABI_VERSION = 1


class VmaTransport:
    """An open VMA transport."""

    def __init__(self, settings: VmaSettings, context: OpenContext) -> None:
        """Load VMA, if it is not, and open the transport on it.

        :raises TransportError: if the library cannot be loaded or makes no socket, or the host speaks another ABI.
        """
        from framelane_vma._native import ffi, lib

        self._native: NativeTransport | None = None
        self.library: Library = load(settings.library, environment.derive(settings))
        native = ffi.new(
            "fl_vma_settings_t *",
            {
                "receive_budget": settings.receive_budget,
                "zero_copy": settings.zero_copy,
                "require_offload": settings.require_offload,
            },
        )
        text = ffi.new("char[512]")
        transport = ffi.new("fl_transport_t **")
        if lib.fl_vma_open(ffi.cast("fl_host_t *", context.host), native, text, len(text), transport) != 0:
            raise TransportError(
                f"transport 'vma' cannot be opened: {ffi.string(text).decode()}; "
                "framelane transports --verbose tells what it lacks"
            )
        self._native = NativeTransport(
            ops=int(ffi.cast("uintptr_t", lib.fl_vma_ops())), object=int(ffi.cast("uintptr_t", transport[0]))
        )

    @property
    def native(self) -> NativeTransport | None:
        return self._native

    @property
    def capabilities(self) -> Capabilities:
        return capabilities_of(self.library)

    def close(self) -> None:
        """Close the transport; the library stays. In a process that did not open it, do nothing.

        :raises TransportError: if an endpoint or a poller is still open; the transport stays open.
        """
        if self._native is None:
            return
        from framelane_vma._native import ffi, lib

        if lib.fl_vma_ops().close(ffi.cast("fl_transport_t *", self._native.object)) != 0:
            raise TransportError("transport 'vma' cannot be closed: endpoints or pollers are still open")
        self._native = None


def open_transport(settings: VmaSettings, context: OpenContext) -> VmaTransport:
    """Open the transport; see :class:`framelane.transport.TransportSpec`."""
    return VmaTransport(settings, context)


@hookimpl
def framelane_transport() -> TransportSpec:
    """Describe the transport."""
    return TransportSpec(
        name="vma",
        summary="VMA on ConnectX adapters that stay with Linux; receives without copying; IPv4 only",
        abi_version=ABI_VERSION,
        level=Level.DATAGRAM,
        settings=VmaSettings,
        probe=probe,
        open=open_transport,
    )
