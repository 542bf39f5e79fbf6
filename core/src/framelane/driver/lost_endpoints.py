"""Endpoints whose device was lost, until each is on a transport again (design 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from framelane.driver.endpoint import Endpoint, Endpoints
from framelane.driver.resources import Lane, Steps
from framelane.driver.services import Services
from framelane.driver.transports import RETRY_NS
from framelane.protocol.error_codes import ErrorCode
from framelane.transport.selection import NoTransportError

__all__ = ["LostEndpoints"]

_FOR_EVER_NS = 2**62


@dataclass(frozen=True)
class _Lost:
    side: Endpoints[Any]
    endpoint: Endpoint[Any]
    transport: str
    text: str  #: what the transport said of the loss

    @property
    def is_open(self) -> bool:
        return self.side.find_id(self.endpoint.identifier) is self.endpoint


class LostEndpoints:
    """Gives each endpoint of a lost device to a transport that binds its address.

    That is the next one in the order, at once; or whichever can first, with a try every second. Streams go on
    meanwhile, as far as their timeouts let them.

    Once it is on another transport an endpoint stays there, also when the lost device comes back. Control thread.
    """

    def __init__(self, services: Services, sides: Sequence[Endpoints[Any]]) -> None:
        self._services = services
        self._sides = sides
        self._lost: dict[Endpoint[Any], _Lost] = {}
        self._next_ns = 0
        self._lane = Lane(services.slow_work)

    def on_transport_removed(self, name: str, text: str) -> None:
        """A device is gone: take its endpoints off it. What follows is :meth:`advance`'s."""
        for side in self._sides:
            for endpoint in side.detach_from(name):
                self._lost[endpoint] = _Lost(side, endpoint, name, text)
        self._next_ns = self._services.clock.nano()

    @property
    def longest_wait_ns(self) -> int:
        """How long the control thread may wait before :meth:`advance` has something to do."""
        if not self._lost or not self._lane.is_idle:
            return _FOR_EVER_NS
        return max(0, self._next_ns - self._services.clock.nano())

    def advance(self) -> int:
        """Begin a try that is due, and go on with it; returns the number of steps."""
        if self._lost and self._lane.is_idle and self._services.clock.nano() >= self._next_ns:
            self._next_ns = self._services.clock.nano() + RETRY_NS
            self._lane.start(self._try_all())
        return self._lane.advance()

    def _try_all(self) -> Steps[None]:
        for one in list(self._lost.values()):
            try:
                if one.is_open:
                    yield from one.side.reopen(one.endpoint)
            except Exception as error:
                self._services.errors.log_unexpected(error, f"another transport for {one.endpoint.name}")
                self._show_failure(one, error)
                continue
            if self._lost.get(one.endpoint) is one:
                del self._lost[one.endpoint]
            if one.is_open:
                self._services.errors.note(
                    f"{one.endpoint.name} is on transport {one.endpoint.chosen.transport} now, since transport "
                    f"{one.transport} lost its device: {one.text}"
                )

    def _show_failure(self, one: _Lost, error: Exception) -> None:
        if not one.is_open:
            return
        endpoint = one.endpoint
        self._services.errors.record(
            ErrorCode.GENERIC_ERROR,
            f"{endpoint.name} is on no transport since {one.transport} lost its device ({one.text}); "
            f"tried again every second: {error}",
        )
        passed_over = error.passed_over if isinstance(error, NoTransportError) else ()
        why = f"{one.transport} has lost its device ({one.text}), and nothing else binds the address."
        one.side.show_lost(endpoint, why, passed_over)

    def close(self) -> None:
        """Give up."""
        self._lane.close()
