"""A netstack in own mode over a port in memory: a host whose frames a test carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scapy.packet import Packet

from framelane._native import ffi, lib
from framelane.testing.memory_port import MemoryPort
from framelane.testing.station import Endpoint, Run, Station
from framelane.transport.address import Address
from support.control_stack import SECOND, TICK, verified

PORT = 40123


class OwnHost:
    """A netstack over a port, its one poller, and a virtual clock."""

    def __init__(self, addresses: Sequence[str], *, mac: str, **options: Any) -> None:
        self._clock = lib.fl_clock_virtual_new(1000 * SECOND, 1000 * SECOND)
        self.port = MemoryPort(mac, clock=self._clock, seed=7)
        self.transport = self.port.open_netstack(addresses, **options)
        self.station = Station(self.transport)
        self._endpoints: dict[str, Endpoint] = {}

    def close(self) -> None:
        for endpoint in list(self.station.endpoints.values()):
            endpoint.close()
        self.station.close()
        lib.fl_clock_virtual_free(self._clock)

    def receive(self, frame: Packet | bytes) -> list[Packet]:
        """Let a frame arrive, and return what leaves upon it."""
        self.take_in(frame)
        return self.sent()

    def take_in(self, frame: Packet | bytes) -> None:
        self.port.inject(bytes(frame))
        self.station.cycle()

    def sent(self) -> list[Packet]:
        return [verified(raw) for raw in self.sent_bytes()]

    def sent_bytes(self) -> list[bytes]:
        return self.port.take_all()

    def pass_time(self, seconds: float, answer: Callable[[Packet], Packet | None] | None = None) -> list[Packet]:
        """Let time pass in ticks. Each frame that leaves is shown to ``answer``, whose reply arrives a tick later."""
        sent: list[Packet] = []
        for _ in range(round(seconds * SECOND / TICK)):
            self.tick()
            left = self.sent()
            sent += left
            for packet in left:
                if answer is not None and (reply := answer(packet)) is not None:
                    self.port.inject(bytes(reply))
        return sent

    def tick(self) -> None:
        lib.fl_clock_advance(self._clock, TICK)
        binding = self.transport.binding
        assert binding.ops.housekeeping(binding.transport, lib.fl_clock_nano(self._clock)) >= 0
        binding.ops.events(binding.transport, ffi.new("fl_event_t[16]"), 16)
        self.station.cycle()

    def endpoint(self, local: str) -> Endpoint:
        """The endpoint at a local address or group, port 40123."""
        if local not in self._endpoints:
            self._endpoints[local] = self.station.open(bind=Address.of(local, PORT))
        return self._endpoints[local]

    def send(self, to: str, data: bytes, port: int = PORT) -> int:
        """Send a datagram from the first address of the family. Returns its status."""
        endpoint = self.endpoint("::" if ":" in to else "0.0.0.0")
        _, (result,) = endpoint.send([Run(data, peer=Address.of(to, port))])
        return result.status

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in self.transport.stats().items() if value}
