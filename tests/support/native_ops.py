"""A plugin's ops table called from Python, as the driver's agents call it: what the tests of every plugin need for it.

``ffi`` is that of the plugin's own cffi module: separately compiled modules share no types.
"""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import Any

__all__ = ["HostTable", "NativeOps", "OpFailedError", "set_address"]


class OpFailedError(Exception):
    """A call through the ops table returned an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class HostTable:
    """An ``fl_host_t`` that keeps the error text and the log.

    :ivar text: of the last error.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self.text = ""
        self.log: list[str] = []
        entries = {
            "error_set": self._set_text,
            "log": lambda _host, _level, text: self.log.append(ffi.string(text).decode()),
            "nano_clock": lambda _host: time.monotonic_ns(),
            "epoch_clock": lambda _host: time.time_ns(),
            "random": lambda _host: 0x5EED,
        }
        fields = dict(ffi.typeof("fl_host_t").fields)
        self._ffi = ffi
        self._callbacks = {name: ffi.callback(fields[name].type, entry) for name, entry in entries.items()}
        self.table = ffi.new("fl_host_t *", {"magic": lib.FL_HOST_MAGIC, "abi_version": lib.FL_ABI_VERSION})
        self.table.size = ffi.sizeof("fl_host_t")
        for name, callback in self._callbacks.items():
            setattr(self.table, name, callback)

    def _set_text(self, _host: Any, text: Any) -> None:
        self.text = self._ffi.string(text).decode()

    @property
    def address(self) -> int:
        """For an ``OpenContext``."""
        return int(self._ffi.cast("uintptr_t", self.table))


class NativeOps:
    """What every ops table has, of transports and of ports.

    :ivar ops: the table.
    :ivar object: what it belongs to.
    """

    ffi: Any
    host: HostTable
    ops: Any
    object: Any
    name: str  #: of the transport, which its figures begin with

    def check(self, code: int) -> int:
        """Return the result of a call that must succeed."""
        if code < 0:
            raise OpFailedError(code, self.host.text)
        return code

    def stats(self) -> dict[str, int]:
        """Return the figures, without the transport's name before each."""
        count = self.ops.stats(self.object, self.ffi.NULL, 0)
        stats = self.ffi.new("fl_stat_t[]", count)
        assert self.ops.stats(self.object, stats, count) == count
        return {self.ffi.string(one.name).decode().removeprefix(f"{self.name}-"): one.value for one in stats}

    def events(self) -> list[tuple[int, str]]:
        """Take what happened: kind and text."""
        events = self.ffi.new("fl_event_t[]", 32)
        count = self.check(self.ops.events(self.object, events, 32))
        return [(event.kind, self.ffi.string(event.text).decode()) for event in events[0:count]]


def set_address(ffi: Any, target: Any, host: str, port: int = 0) -> Any:
    """Fill in an ``fl_address_t``; returns it."""
    packed = ip_address(host).packed
    target.family = 4 if len(packed) == 4 else 6
    target.port = port
    ffi.memmove(target.bytes, packed, len(packed))
    return target
