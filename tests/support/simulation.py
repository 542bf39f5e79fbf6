"""Whole drivers in one thread, over the simulated network and under a virtual clock.

with Simulation(tmp_path, seed=7) as sim:
    left, right = sim.add_host("10.0.0.1"), sim.add_host("10.0.0.2")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from framelane.errors import FramelaneError
from framelane.shm.counters import CountersReader
from framelane.testing import simulation
from framelane.testing.simulation import SimulatedDriver
from framelane.transport.native import OpenTransport
from framelane.transport.wrappers import FaultInjector, wrap_faults
from support.raw_client import RawClient

__all__ = ["Host", "Simulation"]


class Host(SimulatedDriver):
    """A driver on the simulated network, its faults, and its clients.

    :ivar faults: around the driver's transport; without faults at first.
    """

    faults: FaultInjector

    def __init__(
        self,
        sim: Simulation,
        world: simulation.Simulation,
        addresses: Sequence[str],
        directory: Path,
        seed: int,
        settings: dict[str, str],
        transport: OpenTransport | None = None,
    ) -> None:
        def wrap(inner: OpenTransport) -> OpenTransport:
            if transport is not None:
                inner.close()
            self.faults = wrap_faults(transport or inner, seed=seed)
            return self.faults.transport

        values = {"term_buffer_sparse_file": "true", **settings}
        address = addresses[0].partition("/")[0]
        super().__init__(world, address, directory, seed, wrap, None, None, values, addresses)
        self._sim = sim
        self.clients: list[RawClient] = []
        self.is_paused = False

    def add_client(self) -> RawClient:
        """Attach a client, kept alive by the simulation until it is taken out of :attr:`clients`."""
        client = RawClient(self.driver.directory, self._sim.step)
        self.clients.append(client)
        return client

    @property
    def counters(self) -> CountersReader:
        return self.driver.services.counters._values

    def count(self, counter_id: int) -> int:
        """Return a counter's value; system counters are their own ids."""
        return self.counters.value(counter_id)

    def drops(self) -> dict[str, int]:
        """Return the datagrams that were dropped, by reason."""
        return {c.label: c.value for c in self.counters if c.label.startswith("dropped-") and c.value}

    def errors(self) -> list[str]:
        """Return the error log's texts."""
        return [error.text for error in self.driver._files.cnc.errors()]

    def close(self) -> None:
        for client in self.clients:
            client.close(tell=False)
        self.clients.clear()
        super().close()


class Simulation:
    """A network, a clock and the drivers on it.

    :param seed: of everything random; print it when a test fails.
    """

    def __init__(self, directory: Path, seed: int, *, latency_ns: int = 20_000, step_ns: int = 20_000) -> None:
        self._directory = directory
        self.seed = seed
        self._world = simulation.Simulation(directory, seed=seed, latency_ns=latency_ns)
        self.clock = self._world.clock
        self.network = self._world.net
        self._step_ns = step_ns
        self._next_keepalive_ns = 0
        self.hosts: list[Host] = []
        self._made = 0

    def add_host(self, address: str, **settings: str) -> Host:
        """Start a driver at an address; ``settings`` are keys of ``[driver]``."""
        return self._add([f"{address}/24"], settings, None)

    def add_host_on(self, transport: OpenTransport, addresses: Sequence[str], **settings: str) -> Host:
        """Start a driver on a transport of its own, which has these addresses with prefix length."""
        return self._add(addresses, settings, transport)

    def _add(self, addresses: Sequence[str], settings: dict[str, str], transport: OpenTransport | None) -> Host:
        self._made += 1
        directory = self._directory / f"driver-{self._made}"
        host = Host(self, self._world, addresses, directory, self.seed * 16 + self._made, settings, transport)
        self.hosts.append(host)
        return host

    def remove_host(self, host: Host) -> None:
        """Stop a driver in order."""
        self.hosts.remove(host)
        host.close()

    def step(self) -> int:
        """Give every driver one duty cycle, then move the clock: by a little if there was work, else to where the
        next datagram arrives or at most 1 ms on. Returns the work done."""
        work = 0
        for host in self.hosts:
            if not host.is_paused:
                work += host.driver.do_work()
        delta_ns = self._step_ns
        if not work:
            arrival = self.network.next_arrival()
            idle_ns = 1_000_000 if arrival is None else arrival - self.clock.nano()
            delta_ns = max(self._step_ns, min(idle_ns, 1_000_000))
        self.clock.advance(delta_ns)
        if self.clock.nano() >= self._next_keepalive_ns:
            self._next_keepalive_ns = self.clock.nano() + 500_000_000
            for host in self.hosts:
                for client in host.clients:
                    client.send_keepalive()
        return work

    def run_for(self, duration_ns: int) -> None:
        """Let virtual time pass."""
        end_ns = self.clock.nano() + duration_ns
        while self.clock.nano() < end_ns:
            self.step()
            self.poll_clients()

    def run_until(self, condition: Callable[[], object], what: str, limit_ns: int = 60_000_000_000) -> None:
        """Step until a condition holds, for at most ``limit_ns`` of virtual time."""
        end_ns = self.clock.nano() + limit_ns
        while True:
            self.poll_clients()
            if condition():
                return
            if self.clock.nano() > end_ns:
                errors = {host.address: host.errors() for host in self.hosts}
                raise AssertionError(f"seed {self.seed}: {what}: not within {limit_ns / 1e9} s; error logs: {errors}")
            self.step()

    def poll_clients(self) -> None:
        for host in self.hosts:
            for client in host.clients:
                client.poll_events()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.hosts.clear()
            self._world.close()
        except FramelaneError as failure:
            if error is None:
                raise
            error.add_note(f"and the simulation did not end cleanly: {failure}")
