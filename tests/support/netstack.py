"""A netstack over a port in memory, with neighbours that are known: bytes in, bytes out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from framelane._native import ffi, lib
from framelane.testing.memory_port import Faults, MemoryPort
from framelane.testing.station import Endpoint, Station

__all__ = ["MAC", "PEER", "PEER6", "PEER_MAC", "PORT", "SELF", "SELF6", "Netstack"]

MAC = "02:00:00:00:00:01"
PEER_MAC = "02:00:00:00:00:02"
#: Loopback addresses, so that in kernel mode any machine can reserve them; the netstack does not mind.
SELF, PEER, SELF6, PEER6 = "127.9.0.1", "127.9.0.2", "::1", "fd00::2"
#: Kernel mode reserves it on the host, where other test runs may be.
PORT = 10000 + os.getpid() % 20000
RESERVED = 3  #: state of a neighbour that is stale, so usable


class Netstack:
    """A netstack in kernel mode that knows one neighbour, and its station. No control protocol adds frames of its own.

    :param options: of :class:`MemoryPort`; ``netstack`` those of :meth:`MemoryPort.open_netstack`.
    """

    def __init__(
        self, *, netstack: dict[str, Any] | None = None, addresses: Sequence[str] | None = None, **options: Any
    ) -> None:
        self.port = MemoryPort(MAC, **options)
        chosen = {"mode": lib.FL_NETSTACK_KERNEL, **(netstack or {})}
        self.transport = self.port.open_netstack(
            addresses or [f"{SELF}/24", f"{SELF6}/128", "fd00::1/64"], name="memory", **chosen
        )
        if chosen["mode"] == lib.FL_NETSTACK_KERNEL:
            self.port.set_neighbour(PEER, PEER_MAC, RESERVED)
            self.port.set_neighbour(PEER6, PEER_MAC, RESERVED)
        self.station = Station(self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            totals = self.port.totals()
            assert (totals.double_releases, totals.late_calls, totals.bad_frames) == (0, 0, 0)
            assert totals.held == 0, "the netstack keeps received frames"
        self.station.close()

    def receive(self, endpoint: Endpoint, frame: bytes) -> list[bytes]:
        """Inject a frame and return what the endpoint got."""
        self.port.inject(frame)
        self.station.cycle()
        found = [datagram.data for datagram in endpoint.inbox]
        endpoint.inbox.clear()
        return found

    def new_poller(self, queue: int, roles: int) -> Any:
        """Open and enter a poller of these roles only."""
        poller = ffi.new("fl_poller_t **")
        status = self.station.ops.poller_open(self.transport.binding.transport, queue, roles, poller)
        assert status == 0, status
        self.station.ops.poller_enter(poller[0])
        return poller[0]

    def counts(self) -> dict[str, int]:
        """Return the counts that are not 0, by suffix."""
        return {
            name.removeprefix("memory-"): value
            for name, value in self.transport.stats().items()
            if value and not name.startswith("memory-port")
        }

    def housekeeping(self, now_ns: int) -> None:
        """Do the slow upkeep: the clock ticks."""
        self.station.ops.housekeeping(self.transport.binding.transport, now_ns)

    def set_faults(self, **faults: Any) -> None:
        """Let things go wrong from now on."""
        self.port.set_faults(Faults(**faults))
