"""Clients: their heartbeats, and what is let go when they close or die (shm 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from framelane.driver.errors import CommandError
from framelane.driver.services import Services
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import ClientTimeout, CounterReady, UnavailableCounter
from framelane.shm.counter_types import CounterType, heartbeat_key
from framelane.shm.system_counters import SystemCounter

__all__ = ["Client", "Clients", "ReferencedPublication"]


class ReferencedPublication(Protocol):
    """A publication as its clients hold it."""

    def release(self) -> None:
        """Drop one reference; the last one drains the publication."""
        ...

    def revoke(self) -> None:
        """End the publication where it stands."""
        ...


@dataclass(eq=False)
class Client:
    """One client that owns something in this driver."""

    client_id: int
    heartbeat_counter_id: int
    is_closed: bool = False  #: it said so; what it owned goes on the next timer pass
    #: By the correlation id of the command that added this use of the publication.
    publications: dict[int, ReferencedPublication] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)  #: counter ids by registration id


class Clients:
    """All clients.

    :param remove_subscriptions: called with the id of a client that is gone.
    """

    def __init__(self, services: Services, remove_subscriptions: Callable[[int], None]) -> None:
        self._services = services
        self._remove_subscriptions = remove_subscriptions
        self._clients: dict[int, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def find(self, client_id: int) -> Client | None:
        """Return a client that owns something, or ``None``."""
        return self._clients.get(client_id)

    def get_or_add(self, client_id: int) -> Client:
        """Return a client; a new one gets its heartbeat counter, which is announced.

        :raises CommandError: if no counter is left.
        """
        client = self._clients.get(client_id)
        if client is not None:
            return client
        services = self._services
        counter_id = services.counters.allocate(
            CounterType.CLIENT_HEARTBEAT,
            heartbeat_key(client_id),
            f"client-heartbeat: id={client_id}",
            registration_id=client_id,
            owner_id=client_id,
            value=services.clock.epoch_ms(),
        )
        try:
            services.plane.add_client(client_id, counter_id)
        except BaseException:
            services.counters.free(counter_id)
            raise
        client = self._clients[client_id] = Client(client_id, counter_id)
        services.plane.set_has_clients(True)
        services.events.send(CounterReady(correlation_id=client_id, counter_id=counter_id))
        return client

    def close(self, client_id: int) -> None:
        """A client said that it is closing. Unknown ones are ignored."""
        client = self._clients.get(client_id)
        if client is not None:
            client.is_closed = True
            self._services.counters.set(client.heartbeat_counter_id, 0)

    def keep_alive(self, client_id: int) -> None:
        """A client sent a sign of life by command. Unknown ones are ignored."""
        client = self._clients.get(client_id)
        if client is not None and not client.is_closed:
            self._services.counters.set(client.heartbeat_counter_id, self._services.clock.epoch_ms())

    def remove_publication(self, client_id: int, registration_id: int, *, revoke: bool) -> None:
        """Undo one add of a publication (shm 9.3).

        :raises CommandError: if that client has no such publication.
        """
        client = self._clients.get(client_id)
        publication = client.publications.pop(registration_id, None) if client is not None else None
        if publication is None:
            raise CommandError(
                ErrorCode.UNKNOWN_PUBLICATION,
                f"unknown publication client_id={client_id} registration_id={registration_id}",
            )
        if revoke:
            publication.revoke()
        publication.release()

    def remove_counter(self, client_id: int, registration_id: int) -> int:
        """Forget a client's counter and return its id; the caller announces and frees it.

        :raises CommandError: if that client has no such counter.
        """
        client = self._clients.get(client_id)
        counter_id = client.counters.pop(registration_id, None) if client is not None else None
        if counter_id is None:
            raise CommandError(
                ErrorCode.UNKNOWN_COUNTER,
                f"unknown counter client_id={client_id} registration_id={registration_id}",
            )
        return counter_id

    def on_timer(self) -> None:
        """Let go of what closed and dead clients own (shm 9.2)."""
        now_ms = self._services.clock.epoch_ms()
        timeout_ms = max(self._services.settings.client_liveness_timeout // 1_000_000, 1)
        for client in list(self._clients.values()):
            heartbeat_ms = self._services.counters.get(client.heartbeat_counter_id)
            if client.is_closed or now_ms > heartbeat_ms + timeout_ms:
                self._remove(client)

    def _remove(self, client: Client) -> None:
        services = self._services
        if not client.is_closed:
            services.counters.count(SystemCounter.CLIENT_TIMEOUTS)
            services.events.send(ClientTimeout(client_id=client.client_id))
        del self._clients[client.client_id]
        services.plane.remove_client(client.client_id)
        services.events.send(
            UnavailableCounter(registration_id=client.client_id, counter_id=client.heartbeat_counter_id)
        )
        for publication in client.publications.values():
            publication.release()
        for registration_id, counter_id in client.counters.items():
            services.events.send(UnavailableCounter(registration_id=registration_id, counter_id=counter_id))
            services.counters.free(counter_id)
        self._remove_subscriptions(client.client_id)
        services.counters.free(client.heartbeat_counter_id)
        services.plane.set_has_clients(bool(self._clients))
