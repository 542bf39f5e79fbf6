"""What most plugins in C return from ``open``."""

from __future__ import annotations

import os
from typing import Any

from framelane.errors import TransportError
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["NativeHalf"]


class NativeHalf:
    """A :class:`framelane.transport.Transport` over what a plugin's native open function gave; closed by its ops table.

    Control thread.
    """

    def __init__(self, name: str, ffi: Any, ops: Any, opened: Any, capabilities: Capabilities) -> None:
        """Take over what was opened.

        :param name: of the transport, for messages.
        :param ffi: of the plugin's cffi module.
        :param ops: cffi's pointer to the ops table, of transports or of ports.
        :param opened: cffi's pointer to the object.
        """
        self._name = name
        self._ops = ops
        self._opened = opened
        self._pid = os.getpid()
        self._capabilities = capabilities
        self._native: NativeTransport | None = NativeTransport(
            ops=int(ffi.cast("uintptr_t", ops)), object=int(ffi.cast("uintptr_t", opened))
        )

    @property
    def native(self) -> NativeTransport | None:
        """Addresses of ops table and object; ``None`` once it is closed."""
        return self._native

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def is_open_here(self) -> bool:
        """Whether it is open, and by this process: a child of it must not touch the device."""
        return self._native is not None and os.getpid() == self._pid

    def close(self) -> None:
        """Close, once; in a process that did not open it, do nothing.

        :raises TransportError: if something of it is still in use; it stays open.
        """
        if not self.is_open_here:
            return
        if self._ops.close(self._opened) != 0:
            raise TransportError(f"transport '{self._name}' cannot be closed: it is still in use")
        self._native = None
