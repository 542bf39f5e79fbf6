"""``frames`` for transports of level ``port``: ours beside a floor over the same port without a netstack.

The floor takes a buffer, copies the payload from a region of 8 MiB with its sum, and writes a constant header; its
receiver reads the headers, verifies and copies out. Ours does what a driver does, and copies out too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from framelane._native import lib
from framelane.bench.model import Lengths, Measurement, Result
from framelane.bench.network import Site, apart, veth_pair
from framelane.bench.runner import Pair, alternate, measure_rate
from framelane.bench.worker import Job
from framelane.errors import TransportError
from framelane.transport.spec import BenchEnd, TransportSpec

__all__ = ["BATCHES", "PORT_LENGTHS", "PortBench", "count_port_frames", "run_port_frames"]

PORT_LENGTHS: tuple[Lengths, ...] = (64, 1408)
#: Frames that one call of the floor moves; the fastest of them is the floor.
BATCHES = (16, 32, 64, 128)
PORT = 20321


@dataclass(frozen=True)
class PortBench:
    """What is measured.

    :ivar near: settings of the transport at the near end; empty: what the plugin proposes.
    """

    spec: TransportSpec
    veth: bool
    seconds: float
    runs: int
    near: dict[str, Any]
    far: dict[str, Any]

    @contextmanager
    def sites(self) -> Iterator[tuple[Site, Site]]:
        """The two ends."""
        with veth_pair() if self.veth else apart() as pair:
            yield pair

    def settings(self, site: Site, *, is_near: bool) -> dict[str, Any]:
        """Return the settings of an end.

        :raises TransportError: if there are none.
        """
        given = self.near if is_near else self.far
        if given:
            return given
        if self.spec.bench_settings is None:
            raise TransportError(
                f"transport '{self.spec.name}' is of level port and says nothing of how to open two ends of it; "
                "give the settings of both, such as --near interface=eth1 --far interface=eth2"
            )
        return self.spec.bench_settings(BenchEnd(is_near, f"{site.address}/24", site.interface))


def run_port_frames(bench: PortBench, progress: Callable[[], None]) -> list[Result]:
    """Measure both directions, with and without checksums, at each length."""
    results: list[Result] = []
    with bench.sites() as sites:
        for direction, step in (("forward", 1), ("backward", -1)):
            near, far = sites[::step]
            with Pair(near, far) as pair:
                for checksums in (True, False):
                    for length in PORT_LENGTHS:
                        send, receive = _jobs(bench, length, near, far, sites, checksums=checksums)
                        results.append(_measure(bench, pair, send, receive, direction, progress))
    return results


def count_port_frames(bench: PortBench) -> int:
    """Return how many measurements that makes."""
    return 4 * len(PORT_LENGTHS) * (len(BATCHES) + 2 * bench.runs)


def _jobs(
    bench: PortBench, length: Lengths, near: Site, far: Site, sites: tuple[Site, Site], *, checksums: bool
) -> tuple[Job, Job]:
    """Return the sending and the receiving job of ours."""
    send = Job(
        loop="transport_send",
        local=(near.address, 0),
        peer=(far.address, PORT),
        length=0 if length == "mixed" else length,
        duration_s=bench.seconds,
        idle_s=0.05,
        transport=bench.spec.name,
        settings=_with_checksums(bench.settings(near, is_near=near is sites[0]), checksums=checksums),
        region_length=lib.FL_BENCH_REGION,
        checksums=checksums,
    )
    settings = _with_checksums(bench.settings(far, is_near=far is sites[0]), checksums=checksums)
    return send, replace(
        send, loop="transport_receive", local=(far.address, PORT), peer=None, duration_s=10.0, settings=settings
    )


def _with_checksums(settings: dict[str, Any], *, checksums: bool) -> dict[str, Any]:
    return settings if checksums else {**settings, "udp_checksum": False}


def _measure(
    bench: PortBench, pair: Pair, send: Job, receive: Job, direction: str, progress: Callable[[], None]
) -> Result:
    """Choose the floor's batch, then measure ours and the floor in turn."""

    def floor(batch: int) -> Callable[[], Measurement]:
        return partial(
            measure_rate,
            pair,
            replace(send, loop="port_send", local=(send.local[0] if send.local else "", PORT + 1), batch=batch),
            replace(receive, loop="port_receive", batch=batch),
        )

    rates: dict[int, float] = {}
    for batch in BATCHES:
        rates[batch] = floor(batch)().value
        progress()
    best = max(rates, key=lambda batch: rates[batch])
    ours, floors = alternate([partial(measure_rate, pair, send, receive), floor(best)], bench.runs, progress)
    sums = "with checksums" if send.checksums else "without checksums"
    return Result(
        f"{bench.spec.name} frames",
        send.length,
        f"{direction}, {sums}",
        "messages/s",
        f"frames made by hand, {best} a call",
        ours,
        floors,
    )
