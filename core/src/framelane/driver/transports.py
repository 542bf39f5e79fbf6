"""Which transports are open under this driver, and which one serves an endpoint (design 4.3).

A transport is opened when the first endpoint is given to it and stays open until the driver closes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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

__all__ = ["Choice", "GivenTransport", "Transports", "TransportSource", "Wanted"]

_BUSY = 16
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
    """Where transports come from. Both methods may block; they are called on a helper thread."""

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


@dataclass(eq=False)
class _Open:
    transport: OpenTransport


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
        self._open: dict[str, _Open] = {}
        self._fallbacks = services.counters.allocate(
            CounterType.TRANSPORT_FALLBACK, b"", "transport-fallbacks", owner_id=STATIC_OWNER
        )
        self._figures = TransportFigures(services)
        self._gone: dict[str, str] = {}  #: no endpoint is given to these any more, and why
        #: Called with name and text when a transport's device is gone.
        self.on_removed: list[Callable[[str, str], None]] = []

    @property
    def names(self) -> list[str]:
        """The transports that are open."""
        return list(self._open)

    def choose(self, wanted: Wanted) -> Steps[tuple[Choice, OpenTransport]]:
        """Choose a transport for an endpoint and open it if it is not.

        One that cannot be opened or put under the agents is passed over, with an entry in the error log; so is one
        whose device is gone.

        :raises TransportError: if none can serve the endpoint.
        """
        failed = dict(self._gone)
        while True:
            choice = yield from slowly(partial(self._source.choose, wanted, dict(failed)))
            name = choice.chosen.transport
            try:
                transport = yield from self._use(name)
            except Exception as error:
                self._services.errors.record_exception(error, f"transport {name} for {wanted.label}")
                failed[name] = f"could not be opened: {error}"
                continue
            self._report(choice.chosen)
            return choice, transport

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

    def _use(self, name: str) -> Steps[OpenTransport]:
        if name in self._open:
            return self._open[name].transport
        return self._add(name, (yield from slowly(lambda: self._source.open(name))))

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
        self._open[name] = _Open(transport)
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
        """Copy the transports' figures into counters and their log lines into the log."""
        for name, opened in self._open.items():
            for line in opened.transport.host.log_lines():
                level = _LOG_LEVELS.get(line.level, "info")
                getattr(logger, level)("transport", transport=name, text=line.text)
                if level == "error":
                    self._services.errors.record(ErrorCode.GENERIC_ERROR, f"transport {name}: {line.text}")
            for event in _events(opened.transport):
                self._on_event(name, event)
            self._figures.show(name, opened.transport)

    def _on_event(self, name: str, event: TransportEvent) -> None:
        if event.kind == lib.FL_EVENT_REMOVED:
            self._services.errors.record(ErrorCode.GENERIC_ERROR, f"transport {name}: its device is gone: {event.text}")
            self._gone[name] = f"has lost its device: {event.text}"
            for tell in self.on_removed:
                tell(name, event.text)
        elif event.kind in _NOTABLE:
            self._services.errors.note(f"transport {name}: {_NOTABLE[event.kind]}: {event.text}")
        else:
            logger.info("transport event", transport=name, kind=event.kind, text=event.text)

    def close(self) -> None:
        """Take every transport off and close it; after the last endpoint is closed."""
        for opened in self._open.values():
            self._services.plane.remove_transport(opened.transport.binding)
            opened.transport.close()
        self._open.clear()
