"""Which transports are open under this driver, and which one serves an endpoint (design 4.3).

A transport is opened when the first endpoint is given to it and stays open until the driver closes, or until its device
is lost. A lost one is closed at once, and opened again when an endpoint needs it, at most once a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol

from framelane._native import ffi, lib
from framelane.driver.counters import STATIC_OWNER
from framelane.driver.figures import TransportFigures
from framelane.driver.log import logger
from framelane.driver.resources import Steps, slowly
from framelane.driver.services import Services
from framelane.errors import NativeError, TransportError
from framelane.netstack.routes import IpAddress
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.counter_types import CounterType
from framelane.transport.native import OpenTransport
from framelane.transport.selection import Chosen
from framelane.transport.spec import Capabilities

__all__ = ["RETRY_NS", "Choice", "GivenTransport", "Transports", "TransportSource", "Wanted"]

#: How often what failed for want of a device is tried again.
RETRY_NS = 1_000_000_000

_BUSY = 16
_NO_PERMISSION = (1, 13)  # FL_EPERM, FL_EACCES
#: Events that an operator should find in the error log; the others are logged.
_NOTABLE = {
    lib.FL_EVENT_LINK_DOWN: "link down",
    lib.FL_EVENT_RESET: "device reset",
    lib.FL_EVENT_NOTE: "note",
}
_LOG_LEVELS = {lib.FL_LOG_INFO: "info", lib.FL_LOG_WARNING: "warning", lib.FL_LOG_ERROR: "error"}


@dataclass(frozen=True)
class Wanted:
    """What an endpoint needs of a transport; the arguments of :func:`framelane.transport.question.ask`."""

    label: str
    address: IpAddress
    port: int
    endpoint: str
    sends: bool
    interface_address: IpAddress | None
    mtu_length: int
    transport: str | None


@dataclass(frozen=True)
class Choice:
    """Which transport serves an endpoint."""

    chosen: Chosen
    source: IpAddress | None = None  #: a device transport's own address, to bind to in place of the wildcard


class TransportSource(Protocol):
    """Where transports come from. ``choose`` and ``open`` may block; they are called on a helper thread."""

    def choose(self, wanted: Wanted, without: Mapping[str, str]) -> Choice:
        """Choose a transport for an endpoint, not one of ``without``.

        :param without: names, each with why it cannot be used: a clause that follows the name.
        :raises TransportError: if none can serve it.
        """
        ...

    def open(self, name: str) -> OpenTransport:
        """Open a transport's device.

        :raises FramelaneError: if that fails.
        """
        ...

    def on_lost(self, name: str) -> None:
        """Take note that a transport's device is gone. Called on the control thread; must not block."""
        ...


class GivenTransport:
    """One transport that is open already, for everything: simulations and tests."""

    def __init__(self, transport: OpenTransport) -> None:
        self._transport = transport

    def choose(self, wanted: Wanted, without: Mapping[str, str]) -> Choice:
        """See :class:`TransportSource`."""
        name = self._transport.name
        if name in without:
            raise TransportError(f"{wanted.label}: the only transport of this driver, {name}, {without[name]}")
        if wanted.transport not in (None, name):
            raise TransportError(f"{wanted.label}: transport={wanted.transport} is not here, only {name} is")
        return Choice(Chosen(wanted.label, name, "It is the only transport of this driver."))

    def open(self, name: str) -> OpenTransport:  # noqa: ARG002 - there is one only
        """See :class:`TransportSource`."""
        return self._transport

    def on_lost(self, name: str) -> None:
        """See :class:`TransportSource`. Nothing is known of the device that may be outdated."""


@dataclass(eq=False)
class _Lost:
    """A transport whose device is gone."""

    text: str  #: what it said of the loss
    capabilities: Capabilities
    retry_ns: int  #: not tried before, on the monotonic clock
    found: str = ""  #: what the last try ended with

    @property
    def why(self) -> str:
        """A clause that follows the transport's name."""
        return f"has lost its device: {self.text}" + (
            f"; it cannot be opened again: {self.found}" if self.found else ""
        )


@dataclass(frozen=True)
class TransportEvent:
    """What happened to a transport (``fl_event_t``)."""

    kind: int  #: ``FL_EVENT_*``
    text: str


def _events(transport: OpenTransport) -> list[TransportEvent]:
    capacity = 16
    events = ffi.new("fl_event_t[]", capacity)
    count = transport.binding.ops.events(transport.binding.transport, events, capacity)
    return [TransportEvent(events[i].kind, ffi.string(events[i].text).decode("utf-8", "replace")) for i in range(count)]


class Transports:
    """The transports under the agents of one driver. Control thread."""

    def __init__(self, services: Services, source: TransportSource) -> None:
        self._services = services
        self._source = source
        self._open: dict[str, OpenTransport] = {}
        self._opening: dict[str, threading.Event] = {}  #: set when the opening has ended
        self._lost: dict[str, _Lost] = {}
        self._fallbacks = services.counters.allocate(
            CounterType.TRANSPORT_FALLBACK, b"", "transport-fallbacks", owner_id=STATIC_OWNER
        )
        self._figures = TransportFigures(services)
        #: Called with name and text when a transport's device is gone: takes every endpoint off it.
        self.on_removed: list[Callable[[str, str], None]] = []
        #: User and group that the driver became once its devices were open; ``None``: it is who it was.
        self.reduced_to: str | None = None

    @property
    def names(self) -> list[str]:
        """The transports that are open."""
        return list(self._open)

    def choose(
        self, wanted: Wanted, refused: Mapping[str, str] = MappingProxyType({})
    ) -> Steps[tuple[Choice, OpenTransport]]:
        """Choose a transport for an endpoint and open it if it is not.

        One that cannot be opened or put under the agents is passed over, with an entry in the error log; so is one
        whose device is gone, until it can be opened again.

        :param refused: names that are passed over in any case, each with why: a clause that follows the name.
        :raises TransportError: if none can serve the endpoint.
        """
        failed = dict(refused)
        while True:
            without = {name: lost.why for name, lost in self._lost.items() if not self._is_due(lost)} | failed
            choice = yield from slowly(partial(self._source.choose, wanted, without))
            name = choice.chosen.transport
            try:
                transport = yield from self._use(name)
            except Exception as error:
                lost = self._lost.get(name)
                if lost is None:
                    self._services.errors.record_exception(error, f"transport {name} for {wanted.label}")
                failed[name] = f"could not be opened: {error}" if lost is None else lost.why
                continue
            self._report(choice.chosen)
            return choice, transport

    def _is_due(self, lost: _Lost) -> bool:
        return self._services.clock.nano() >= lost.retry_ns

    def open_now(self, names: Sequence[str], is_required: Callable[[str], bool]) -> None:
        """Open transports at the start, on the caller.

        :raises FramelaneError: if one that is required cannot be opened; others are passed over later, visibly.
        """
        for name in names:
            try:
                self._add(name, self._source.open(name))
            except Exception as error:
                if is_required(name):
                    raise
                self._services.errors.record_exception(error, f"transport {name} at the start")
                logger.warning("transport not opened", transport=name, error=str(error))

    def _use(self, name: str) -> Steps[OpenTransport]:
        while (opening := self._opening.get(name)) is not None:  # for an endpoint of another lane
            yield from slowly(opening.wait)
        if name in self._open:
            return self._open[name]
        lost = self._lost.get(name)
        if lost is not None:
            if not self._is_due(lost):
                raise TransportError(f"{name} {lost.why}")
            lost.retry_ns = self._services.clock.nano() + RETRY_NS
        self._opening[name] = threading.Event()
        try:
            transport = self._add(name, (yield from slowly(partial(self._source.open, name))))
        except Exception as error:
            if lost is not None:
                lost.found = f"{error}{self.privilege_hint(error, lost.capabilities)}"
            raise
        finally:
            self._opening.pop(name).set()
        if lost is not None:
            del self._lost[name]
            self._services.errors.note(f"transport {name}: its device is there again after its loss: {lost.text}")
        return transport

    def privilege_hint(self, error: BaseException, capabilities: Capabilities) -> str:
        """Return what to add to the message of an error that a lack of privileges may have caused; often nothing.

        :param capabilities: of the transport that failed.
        """
        if self.reduced_to is None or not (capabilities.needs_privilege or _is_lack_of_permission(error)):
            return ""
        return (
            f" (the driver gave up its privileges at the start and runs as {self.reduced_to} now, which may be why: "
            "restart it, or leave driver.user and driver.group out)"
        )

    def _add(self, name: str, transport: OpenTransport) -> OpenTransport:
        try:
            self._services.plane.add_transport(transport.binding)
        except NativeError as error:
            transport.close()
            if error.code == _BUSY:
                raise TransportError(
                    f"{name} has one queue, and sender and receiver are different threads: "
                    "threading_mode SHARED_NETWORK, SHARED or auto does with one"
                ) from error
            raise
        self._open[name] = transport
        logger.info("transport open", transport=name)
        return transport

    def _report(self, chosen: Chosen) -> None:
        log = logger.warning if chosen.is_fallback else logger.info
        passed_over = {one.name: one.why for one in chosen.passed_over}
        log("transport chosen", endpoint=chosen.label, transport=chosen.transport, why=chosen.why, not_used=passed_over)

    def count_fallback(self, chosen: Chosen, delta: int) -> None:
        """Count an endpoint that is opened (1) or closed (-1), if a wanted transport was passed over for it."""
        if chosen.is_fallback:
            counters = self._services.counters
            counters.set(self._fallbacks, counters.get(self._fallbacks) + delta)

    def on_timer(self) -> None:
        """Copy the transports' figures into counters and their log lines into the log; see what happened to them."""
        for name, transport in list(self._open.items()):
            self._figures.show(name, transport)
            self._look(name, transport)

    def on_gone(self) -> None:
        """An agent has seen a transport answer that its device is gone."""
        for name, transport in list(self._open.items()):
            if self._services.plane.is_transport_gone(transport.binding):
                self._look(name, transport)
                if self._open.get(name) is transport:
                    self._lose(name, "it answers so, and names no device")

    def _look(self, name: str, transport: OpenTransport) -> None:
        """Take what a transport has to say."""
        for line in transport.host.log_lines():
            level = _LOG_LEVELS.get(line.level, "info")
            getattr(logger, level)("transport", transport=name, text=line.text)
            if level == "error":
                self._services.errors.record(ErrorCode.GENERIC_ERROR, f"transport {name}: {line.text}")
        removed: str | None = None
        for event in _events(transport):
            if event.kind == lib.FL_EVENT_REMOVED:
                removed = event.text
            elif event.kind in _NOTABLE:
                self._services.errors.note(f"transport {name}: {_NOTABLE[event.kind]}: {event.text}")
            else:
                logger.info("transport event", transport=name, kind=event.kind, text=event.text)
        if removed is not None:
            self._lose(name, removed)

    def _lose(self, name: str, text: str) -> None:
        """Take a transport whose device is gone from under the agents and close it."""
        transport = self._open.pop(name)
        self._services.errors.record(ErrorCode.GENERIC_ERROR, f"transport {name}: its device is gone: {text}")
        self._lost[name] = _Lost(text, transport.capabilities, self._services.clock.nano() + RETRY_NS)
        self._source.on_lost(name)
        try:
            self._figures.show(name, transport)  # for the last time: how far it got, and that the link is gone
        except Exception as error:  # such as a full counter table; the endpoints are not to wait for that
            self._services.errors.record_exception(error, f"figures of transport {name}, whose device is gone")
        self._figures.on_lost(name)
        for take_endpoints_off in self.on_removed:
            take_endpoints_off(name, text)
        try:
            self._services.plane.remove_transport(transport.binding)
            transport.close()
        except Exception as error:
            self._services.errors.record_exception(error, f"transport {name}, closed after the loss of its device")

    def close(self) -> None:
        """Take every transport off and close it; after the last endpoint is closed."""
        for transport in self._open.values():
            self._services.plane.remove_transport(transport.binding)
            transport.close()
        self._open.clear()


def _is_lack_of_permission(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised for, is one of missing permissions."""
    while error is not None:
        if isinstance(error, PermissionError) or (isinstance(error, NativeError) and error.code in _NO_PERMISSION):
            return True
        error = error.__cause__ or error.__context__
    return False
