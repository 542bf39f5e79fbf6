"""Ports in memory as a plugin would give them, under the netstack that the driver opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from framelane._native import ffi, lib
from framelane.netstack.port import PortTransport, open_port
from framelane.testing.memory_port import MemoryPort
from framelane.transport.port_settings import PortSettings
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["PluginPort", "connected_ports", "open_memory_port"]


class PluginPort:
    """The :class:`framelane.transport.Transport` of a plugin whose device is a port in memory.

    :ivar closed: how often it was closed.
    """

    def __init__(self, port: MemoryPort) -> None:
        self.port = port
        self.closed = 0

    @property
    def native(self) -> NativeTransport | None:
        ops = int(ffi.cast("uintptr_t", lib.fl_memory_port_ops()))
        return NativeTransport(ops, int(ffi.cast("uintptr_t", self.port.native)))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(multicast=True, ipv6=True, zero_copy_rx=True, kernel_coexists=False)

    def close(self) -> None:
        self.closed += 1
        ops = ffi.cast("fl_port_ops_t *", lib.fl_memory_port_ops())
        assert ops.close(ffi.cast("fl_port_t *", self.port.native)) == 0


def open_memory_port(settings: PortSettings, port: MemoryPort) -> tuple[PortTransport, PluginPort]:
    """Open a netstack over a port."""
    plugin = PluginPort(port)
    return open_port("memory", plugin, settings, port.host), plugin


def connected_ports(settings: Sequence[PortSettings], clock: Any, seed: int) -> tuple[PortTransport, PortTransport]:
    """Open two netstacks over ports that are each other's far end."""
    left, right = (MemoryPort(f"02:00:00:00:00:0{i}", clock=clock, seed=seed + i) for i in (1, 2))
    left.connect(right)
    return open_memory_port(settings[0], left)[0], open_memory_port(settings[1], right)[0]
