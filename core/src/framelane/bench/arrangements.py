"""``frames`` of transports with devices of their own: each beside its floor, with and without UDP checksums."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from framelane.bench.devices import arrangements_of
from framelane.bench.jobs import Job
from framelane.bench.model import Lengths, Measurement, Result
from framelane.bench.network import FIRST_PORT, Site, veth_pair
from framelane.bench.runner import Pair, Processes, Threads, alternate, measure_rate
from framelane.transport.arrangement import Arrangement
from framelane.transport.registry import Plugin

__all__ = ["count_arrangements", "has_arrangements", "run_arrangements"]

#: Sizes of a floor's batch that are tried for each length; the fastest is used.
BATCHES = (32, 64, 128, 256)
#: Beyond what a processor's caches keep between two uses of a line.
REGION_LENGTH = 8 * 1024 * 1024
IDLE_S = 0.1
_DIRECTIONS = ("forward", "backward")
_CHECKSUMS = (True, False)


@dataclass(frozen=True)
class Series:
    """What the measurements of one benchmark have in common."""

    transport: str
    directory: Path
    seconds: float
    runs: int
    lengths: Sequence[Lengths]
    bounds: tuple[int, int]
    progress: Callable[[], None]


def has_arrangements(plugin: Plugin) -> bool:
    """Whether a transport brings its own devices to ``frames``."""
    return bool(arrangements_of(plugin, Path("/nonexistent")))


def count_arrangements(plugin: Plugin, runs: int, lengths: int) -> int:
    """Return how many measurements :func:`run_arrangements` makes."""
    measured = len(_DIRECTIONS) * len(_CHECKSUMS) * 2 * runs
    return len(arrangements_of(plugin, Path("/nonexistent"))) * lengths * (len(BATCHES) + measured)


def run_arrangements(
    plugin: Plugin,
    *,
    seconds: float,
    runs: int,
    lengths: Sequence[Lengths],
    bounds: tuple[int, int],
    progress: Callable[[], None],
) -> list[Result]:
    """Measure every arrangement of a transport."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix=f"framelane-bench-{os.getpid()}-") as folder:
        series = Series(plugin.name, Path(folder), seconds, runs, lengths, bounds, progress)
        for arrangement in arrangements_of(plugin, series.directory):
            results += measure(series, arrangement)
    return results


def measure(series: Series, arrangement: Arrangement) -> list[Result]:
    """Measure one arrangement, in both directions."""
    results: list[Result] = []
    batches: dict[Lengths, int] = {}
    with sites(arrangement) as places:
        for direction in _DIRECTIONS:
            step = 1 if direction == "forward" else -1
            ends = (0, 1) if step == 1 else (1, 0)
            with pair(arrangement, places[::step]) as sides:
                for length in series.lengths:
                    send, receive = jobs(series, arrangement, length, ends)
                    if length not in batches:
                        batches[length] = fastest_batch(series, sides, send, receive)
                    for has_checksums in _CHECKSUMS:
                        send = replace(send, has_checksums=has_checksums, batch=batches[length])
                        receive = replace(receive, has_checksums=has_checksums, batch=batches[length])
                        mine, raw = alternate(
                            [partial(measure_rate, sides, send, receive), floor(sides, send, receive)],
                            series.runs,
                            series.progress,
                        )
                        results.append(
                            Result(
                                result_name(series.transport, arrangement.name, has_checksums),
                                length,
                                direction,
                                "messages/s",
                                f"{arrangement.floor_name}, batch {batches[length]}",
                                mine,
                                raw,
                            )
                        )
    return results


def result_name(transport: str, arrangement: str, has_checksums: bool) -> str:
    """Return what the results of an arrangement are called."""
    words = [transport, arrangement, "frames", "" if has_checksums else "without UDP checksums"]
    return " ".join(word for word in words if word)


@contextmanager
def sites(arrangement: Arrangement) -> Iterator[tuple[Site, Site]]:
    """Where the two ends are."""
    near, far = (end.address for end in arrangement.ends)
    if arrangement.place == "veth":
        with veth_pair((near, far)) as made:
            yield made
    else:
        yield Site(near), Site(far)


def pair(arrangement: Arrangement, places: Sequence[Site]) -> Processes | Threads:
    """Start what runs the two ends; the near one sends."""
    near, far = places
    return Threads(near) if arrangement.place == "process" else Processes(near, far)


def jobs(series: Series, arrangement: Arrangement, length: Lengths, ends: tuple[int, int]) -> tuple[Job, Job]:
    """Return the sending and the receiving job of the transport, from the first of the ends to the second."""
    near, far = (arrangement.ends[end].address for end in ends)
    send = Job(
        loop="device_send",
        local=(near, 0),
        peer=(far, FIRST_PORT),
        length=0 if length == "mixed" else length,
        min_length=series.bounds[0],
        max_length=series.bounds[1],
        duration_s=series.seconds,
        idle_s=IDLE_S,
        transport=series.transport,
        directory=str(series.directory),
        arrangement=arrangement.name,
        end=ends[0],
        region_length=REGION_LENGTH,
    )
    receive = replace(send, loop="device_receive", local=(far, FIRST_PORT), peer=None, end=ends[1])
    return send, receive


def floor(sides: Pair, send: Job, receive: Job) -> Callable[[], Measurement]:
    """Return the measurement of the floor that does what these jobs do."""
    return partial(measure_rate, sides, replace(send, loop="floor"), replace(receive, loop="floor"))


def fastest_batch(series: Series, sides: Pair, send: Job, receive: Job) -> int:
    """Find the floor's best batch by a run of each."""
    rates = {}
    for batch in BATCHES:
        rates[batch] = floor(sides, replace(send, batch=batch), replace(receive, batch=batch))().value
        series.progress()
    return max(rates, key=lambda batch: rates[batch])
