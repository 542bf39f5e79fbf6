"""Open transports: a plugin's native half bound to the driver.

Agents call the ops in C through the binding's address. What is here is for the control plane and for tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from framelane._native import ffi, lib
from framelane.errors import NativeError, TransportError
from framelane.transport.spec import (
    Capabilities,
    Level,
    NativeTransport,
    OpenContext,
    Transport,
    TransportSettings,
    TransportSpec,
)

if TYPE_CHECKING:
    from framelane.netstack.tables import NetstackView

__all__ = [
    "CounterSource",
    "HostCounter",
    "LogLine",
    "NativeHost",
    "OpenTransport",
    "open_transport",
    "raise_native",
]


def raise_native(code: int, what: str) -> NoReturn:
    """Raise the calling thread's native error text for a negative ``FL_E*`` result of ``what``."""
    text = ffi.string(lib.fl_error_text()).decode(errors="replace") or os.strerror(-code)
    lib.fl_error_clear()
    raise NativeError(f"{what}: {text}", -code)


@dataclass(frozen=True)
class CounterSource:
    """Addresses of the C functions behind ``fl_counter_source_t``: where a transport's counters live."""

    allocate: int
    free: int
    state: int


@dataclass(frozen=True)
class LogLine:
    """One line that a transport logged."""

    level: int  #: ``FL_LOG_*``
    epoch_ns: int
    text: str


@dataclass(frozen=True)
class HostCounter:
    """A counter that lives in the host's private memory."""

    type_id: int
    key: bytes
    label: str
    value: int


class NativeHost:
    """What the driver offers to one transport; the address of its table is :attr:`OpenContext.host`.

    :param clock: ``fl_clock_t *``; the system's clock if none is given. Kept alive by the caller.
    :param seed: of the generator behind ``random``; drawn from the system if none is given.
    :param counters: where counters live; in private memory if nothing is given.
    """

    def __init__(self, clock: Any = None, seed: int | None = None, counters: CounterSource | None = None) -> None:
        self._pid = os.getpid()
        source = ffi.NULL
        if counters is not None:
            source = ffi.new("fl_counter_source_t *")
            source.allocate = ffi.cast(ffi.typeof(source.allocate), counters.allocate)
            source.free = ffi.cast(ffi.typeof(source.free), counters.free)
            source.state = ffi.cast("void *", counters.state)
        self.clock = lib.fl_clock_system() if clock is None else clock
        drawn = int.from_bytes(os.urandom(8)) if seed is None else seed
        self._host = lib.fl_transport_host_new(self.clock, drawn, source)
        if self._host == ffi.NULL:
            raise_native(-lib.FL_ENOMEM, "host of a transport")

    @property
    def table(self) -> Any:
        """``const fl_host_t *``."""
        return lib.fl_transport_host_table(self._host)

    @property
    def address(self) -> int:
        """The table's address, for :class:`OpenContext`."""
        return int(ffi.cast("uintptr_t", self.table))

    def log_lines(self) -> Iterator[LogLine]:
        """Take the lines that were logged since the last call. One thread at a time."""
        line = ffi.new("fl_log_line_t *")
        while lib.fl_transport_host_log_poll(self._host, line):
            yield LogLine(line.level, line.epoch_ns, ffi.string(line.text).decode(errors="replace"))

    @property
    def log_suppressed(self) -> int:
        """Lines that the rate limit or a full queue kept out."""
        return int(lib.fl_transport_host_log_suppressed(self._host))

    def private_counters(self) -> list[HostCounter]:
        """Return the counters in private memory, in the order of their allocation."""
        found: list[HostCounter] = []
        counter = ffi.new("fl_host_counter_t *")
        while lib.fl_transport_host_counter(self._host, len(found), counter):
            key = bytes(ffi.buffer(counter.key))[: counter.key_length]
            found.append(HostCounter(counter.type_id, key, ffi.string(counter.label).decode(), counter.value))
        return found

    def close(self) -> None:
        """Free the host and its counters; after the transport was closed. Does nothing in a forked child."""
        host, self._host = self._host, ffi.NULL
        if host != ffi.NULL and os.getpid() == self._pid:
            lib.fl_transport_host_free(host)


class OpenTransport:
    """A transport as the driver uses it: open, bound, with its host.

    Not closed by garbage collection: an agent may hold the binding's address. ``close`` is called once every endpoint
    and poller is closed, and does nothing in a forked child.

    :param host: closed with the transport.
    :param close: closes the device; :meth:`close_native` if nothing is given.
    :param inner: what a wrapper is around.
    """

    def __init__(
        self,
        name: str,
        native: NativeTransport,
        capabilities: Capabilities,
        host: NativeHost,
        close: Callable[[], None] | None = None,
        inner: OpenTransport | None = None,
    ) -> None:
        self.name = name
        self.inner = inner
        self.capabilities = capabilities
        self.host = host
        self._close = self.close_native if close is None else close
        self._pid = os.getpid()
        self._binding = lib.fl_binding_new(
            ffi.cast("void *", native.ops), ffi.cast("void *", native.object), name.encode()
        )
        if self._binding == ffi.NULL:
            raise_native(-lib.FL_EINVAL, "open")

    @property
    def binding(self) -> Any:
        """``fl_binding_t *``; lives until :meth:`close`."""
        if self._binding == ffi.NULL:
            raise TransportError(f"transport '{self.name}' is closed")
        return self._binding

    @property
    def is_closed(self) -> bool:
        return bool(self._binding == ffi.NULL)

    @property
    def queues(self) -> int:
        """Most pollers at once; 0 is no limit."""
        return int(self.binding.ops.queues)

    def stats(self) -> dict[str, int]:
        """Return the transport's figures; empty if it has none. Control thread."""
        count = self.binding.ops.stats(self.binding.transport, ffi.NULL, 0)
        if count <= 0:
            return {}
        stats = ffi.new("fl_stat_t[]", count)
        count = self.binding.ops.stats(self.binding.transport, stats, count)
        return {ffi.string(stats[i].name).decode(): int(stats[i].value) for i in range(count)}

    def netstack_view(self) -> NetstackView | None:
        """Return the netstack and its network as they are now; ``None`` if there is no netstack. Control thread."""
        return None if self.inner is None else self.inner.netstack_view()

    def close(self) -> None:
        """Close the device and free what belongs to it.

        :raises FramelaneError: if the transport refuses, such as while endpoints are open; it is still open then.
        """
        if self._binding == ffi.NULL:
            return
        if os.getpid() == self._pid:
            self._close()
            lib.fl_binding_free(self._binding)
        self._binding = ffi.NULL
        self.host.close()

    def close_native(self) -> None:
        """Call the ops table's ``close``. One whose device is gone is closed all the same.

        :raises NativeError: if it fails.
        """
        status = self.binding.ops.close(self.binding.transport)
        if status < 0 and status != -lib.FL_ENODEV:
            raise_native(status, f"close of transport '{self.name}'")


def open_transport(
    spec: TransportSpec,
    settings: TransportSettings | None = None,
    *,
    driver_name: str = "framelane",
    clock: Any = None,
    seed: int | None = None,
    counters: CounterSource | None = None,
) -> OpenTransport:
    """Open a plugin's transport and bind to it, at level ``port`` to a netstack on it. Control thread, or a helper's.

    :param settings: of ``spec.settings``; the defaults if none are given.
    :param clock: and ``seed``, ``counters``: see :class:`NativeHost`.
    :raises TransportError: if the plugin cannot open its device.
    :raises NativeError: if its native half is refused; the transport is closed again.
    """
    host = NativeHost(clock, seed, counters)
    transport: Transport | None = None
    try:
        chosen = spec.settings() if settings is None else settings
        transport = spec.open(chosen, OpenContext(host=host.address, driver_name=driver_name))
        if spec.level is Level.PYTHON:
            from framelane.transport.python_level import adapt_python

            return adapt_python(spec.name, transport, host)
        if spec.level is Level.PORT:
            from framelane.netstack.port import open_port

            port, transport = transport, None  # closed by its netstack's opener, whatever happens
            return open_port(spec.name, port, chosen, host)
        native = transport.native
        if native is None:
            raise TransportError(f"transport '{spec.name}' is of level {spec.level} but its open gave no native half")
        return OpenTransport(spec.name, native, transport.capabilities, host, transport.close)
    except BaseException:
        if transport is not None:
            transport.close()
        host.close()
        raise
