"""Ports in memory as a plugin would give them, two of them each other's far end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from framelane._native import ffi, lib
from framelane.netstack.port import PortTransport, open_port
from framelane.transport.native import NativeHost, raise_native
from framelane.transport.port_settings import PortSettings
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["MemoryPort", "connected_ports", "open_memory_port"]


class MemoryPort:
    """A port of :mod:`framelane.transport.spec` level ``port``."""

    def __init__(self, host: NativeHost, **config: Any) -> None:
        native = ffi.new("fl_memory_port_config_t *", config)
        self.port = lib.fl_memory_port_new(native, host.table)
        if self.port == ffi.NULL:
            raise_native(-lib.FL_ENOMEM, "memory port")
        self.closed = 0

    @property
    def native(self) -> NativeTransport | None:
        ops = lib.fl_memory_port_ops()
        return NativeTransport(int(ffi.cast("uintptr_t", ops)), int(ffi.cast("uintptr_t", self.port)))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(multicast=True, ipv6=True, zero_copy_rx=True, kernel_coexists=False)

    def close(self) -> None:
        self.closed += 1
        ops = ffi.cast("fl_port_ops_t *", lib.fl_memory_port_ops())
        assert ops.close(ffi.cast("fl_port_t *", self.port)) == 0


def open_memory_port(
    name: str, settings: PortSettings, host: NativeHost | None = None, **config: Any
) -> tuple[PortTransport, MemoryPort]:
    """Open a netstack over a new memory port; ``config`` is ``fl_memory_port_config_t``."""
    host = host or NativeHost()
    port = MemoryPort(host, **config)
    return open_port(name, port, settings, host), port


def connected_ports(
    settings: Sequence[PortSettings], clock: Any, seed: int, **config: Any
) -> tuple[PortTransport, PortTransport]:
    """Open two netstacks over ports that are each other's far end."""
    left, right = (
        open_memory_port("memory", one, NativeHost(clock, seed + i), mac=[2, 0, 0, 0, 0, i + 1], **config)
        for i, one in enumerate(settings)
    )
    lib.fl_memory_port_connect(left[1].port, right[1].port)
    return left[0], right[0]
