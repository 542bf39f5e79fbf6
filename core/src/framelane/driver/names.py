"""Which name resolution a driver has, and how long it takes (counters 32 and 33)."""

from __future__ import annotations

import threading

from framelane.channel import NameResolver
from framelane.channel.addresses import IpAddress
from framelane.driver.clock import Clock
from framelane.driver.counters import Counters
from framelane.driver.name_gossip import GossipSettings, NameGossip
from framelane.driver.services import Services
from framelane.shm.system_counters import SystemCounter

__all__ = ["TimedResolver", "make_gossip"]


def make_gossip(services: Services, inner: NameResolver) -> NameGossip | None:
    """Return what tells other drivers this one's name, if it has one.

    :raises ConfigError: if the settings are none, or its socket cannot be bound.
    """
    settings = services.settings
    if settings.driver_resolver_name is None or settings.driver_resolver_interface is None:
        return None
    return NameGossip(
        GossipSettings(
            name=settings.driver_resolver_name,
            interface=settings.driver_resolver_interface,
            bootstrap=settings.driver_resolver_bootstrap_neighbor or "",
            mtu_length=settings.mtu_length,
            neighbour_timeout_ns=settings.driver_resolver_neighbor_timeout,
            self_interval_ns=settings.driver_resolver_self_resolution_interval,
            neighbour_interval_ns=settings.driver_resolver_neighbor_resolution_interval,
            bootstrap_interval_ns=settings.driver_resolver_bootstrap_neighbor_resolution_interval,
        ),
        inner,
        services.counters,
        services.clock,
        services.slow_work,
    )


class TimedResolver:
    """A resolver whose times are shown in counters on the timer pass.

    :param threshold_ns: slower look-ups are counted.
    """

    def __init__(self, resolver: NameResolver, clock: Clock, threshold_ns: int) -> None:
        self._resolver = resolver
        self._clock = clock
        self._threshold_ns = threshold_ns
        self._lock = threading.Lock()
        self._longest_ns = 0
        self._slow = 0

    def resolve(self, host: str, parameter: str) -> IpAddress:
        """See :class:`framelane.channel.NameResolver`."""
        began_ns = self._clock.nano()
        try:
            return self._resolver.resolve(host, parameter)
        finally:
            elapsed_ns = self._clock.nano() - began_ns
            with self._lock:
                self._longest_ns = max(self._longest_ns, elapsed_ns)
                self._slow += elapsed_ns > self._threshold_ns

    def on_timer(self, counters: Counters) -> None:
        """Show the figures. Control thread."""
        with self._lock:
            longest_ns, slow, self._slow = self._longest_ns, self._slow, 0
        counters.raise_to(SystemCounter.NAME_RESOLVER_MAX_TIME, longest_ns)
        if slow:
            counters.add_to(SystemCounter.NAME_RESOLVER_TIME_THRESHOLD_EXCEEDED, slow)
