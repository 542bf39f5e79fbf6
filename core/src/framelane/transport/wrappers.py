"""Wrappers around any open transport: faults, and a capture of what passes.

A wrapper presents the ops of what it wraps, so agents do not know of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from framelane._native import ffi, lib
from framelane.transport.native import OpenTransport, raise_native
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["FaultDirection", "FaultInjector", "FaultTotals", "PacketCapture", "wrap_capture", "wrap_faults"]


def _wrap(inner: OpenTransport, ops: Any, wrapper: Any, capabilities: Capabilities) -> OpenTransport:
    """Bind to a wrapper; closing it closes ``inner`` too."""

    def close() -> None:
        outer.close_native()
        inner.close()

    native = NativeTransport(int(ffi.cast("uintptr_t", ops)), int(ffi.cast("uintptr_t", wrapper)))
    outer = OpenTransport(inner.name, native, capabilities, inner.host, close, inner)
    return outer


@dataclass(frozen=True)
class FaultDirection:
    """What happens to datagrams in one direction; probabilities are 0 to 1 and each datagram is judged alone."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  #: held back until 1 to 8 later datagrams passed, or 1 ms
    corrupt: float = 0.0  #: one bit flipped
    refuse: float = 0.0  #: send only: not taken, as with a full send buffer
    delay_ns: int = 0
    jitter_ns: int = 0  #: added to the delay, uniform from 0 to this; reorders
    blackhole: bool = False  #: nothing passes


@dataclass(frozen=True)
class FaultTotals:
    """What was done so far, in datagrams."""

    passed: int
    lost: int
    duplicated: int
    reordered: int
    corrupted: int
    delayed: int
    refused: int
    storage_full: int


class FaultInjector:
    """The controls of a fault wrapper. Live as long as its transport."""

    def __init__(self, fault: Any, transport: OpenTransport) -> None:
        self._fault = fault
        self.transport = transport

    def configure(self, *, send: FaultDirection | None = None, receive: FaultDirection | None = None) -> None:
        """Set both directions, from the next datagram on; what is not given has no faults. Any thread.

        :raises NativeError: if a value is out of range.
        """
        settings = ffi.new("fl_fault_settings_t *")
        for target, given in ((settings.send, send), (settings.receive, receive)):
            for field in fields(FaultDirection):
                value = getattr(given or FaultDirection(), field.name)
                setattr(target, field.name, int(value) if isinstance(value, bool) else value)
        _ = self.transport.binding
        status = lib.fl_fault_configure(self._fault, settings)
        if status < 0:
            raise_native(status, "configure faults")

    def remove_device(self, text: str | None) -> None:
        """Let the device be gone from now on. Any thread, once.

        :param text: of the event that says so; ``None``: only the calls' ``-FL_ENODEV`` does.
        """
        _ = self.transport.binding
        lib.fl_fault_remove_device(self._fault, ffi.NULL if text is None else text.encode())

    def totals(self) -> tuple[FaultTotals, FaultTotals]:
        """Return what was done to sent and to received datagrams. Any thread."""
        _ = self.transport.binding
        send, receive = ffi.new("fl_fault_totals_t *"), ffi.new("fl_fault_totals_t *")
        lib.fl_fault_totals(self._fault, send, receive)
        names = [field.name for field in fields(FaultTotals)]
        return FaultTotals(*(getattr(send, n) for n in names)), FaultTotals(*(getattr(receive, n) for n in names))


def wrap_faults(inner: OpenTransport, *, seed: int) -> FaultInjector:
    """Wrap a transport so that datagrams can be treated badly; at first nothing happens to them.

    The wrapper owns ``inner`` from now on: use and close ``result.transport`` only. It copies what it holds back, so
    zero-copy sending is not offered.
    """
    fault = lib.fl_fault_new(inner.binding, inner.host.table, seed)
    if fault == ffi.NULL:
        raise_native(-lib.FL_ENOMEM, "wrap faults")
    capabilities = replace(inner.capabilities, zero_copy_tx=False, zero_copy_rx=False)
    return FaultInjector(fault, _wrap(inner, lib.fl_fault_ops(fault), fault, capabilities))


class PacketCapture:
    """The controls of a capture. Live as long as its transport."""

    def __init__(self, capture: Any, transport: OpenTransport) -> None:
        self._capture = capture
        self.transport = transport

    def flush(self) -> None:
        """Have what was captured so far in the file. Control thread.

        :raises NativeError: if it could not be written.
        """
        _ = self.transport.binding
        status = lib.fl_capture_flush(self._capture)
        if status < 0:
            raise_native(status, "flush of the capture")

    @property
    def written(self) -> int:
        """Datagrams in the file."""
        _ = self.transport.binding
        return int(lib.fl_capture_written(self._capture))

    @property
    def dropped(self) -> int:
        """Datagrams that were not captured because the ring was full or the file could not be written."""
        _ = self.transport.binding
        return int(lib.fl_capture_dropped(self._capture))


def wrap_capture(inner: OpenTransport, path: str | Path, *, ring_length: int = 0) -> PacketCapture:
    """Wrap a transport so that every datagram sent and received is written to a pcap file.

    The wrapper owns ``inner`` from now on: use and close ``result.transport`` only.

    :param ring_length: bytes of each poller's ring between it and the writer; 0: 8 MiB.
    :raises NativeError: if the file cannot be made.
    """
    capture = lib.fl_capture_new(inner.binding, inner.host.table, os.fsencode(path), ring_length)
    if capture == ffi.NULL:
        raise_native(-lib.FL_EIO, "wrap capture")
    return PacketCapture(capture, _wrap(inner, lib.fl_capture_ops(capture), capture, inner.capabilities))
