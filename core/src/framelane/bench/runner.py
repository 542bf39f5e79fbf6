"""Running two workers against each other, and ours and a floor in turn."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NoReturn, Self

from hdrh.histogram import HdrHistogram

from framelane.bench.model import Measurement
from framelane.bench.network import Site
from framelane.bench.worker import Job, Outcome
from framelane.errors import FramelaneError

__all__ = ["Pair", "alternate", "measure_rate", "measure_round_trips"]

#: Longest that a worker may take beyond the duration of its loop.
SLACK_S = 20.0


class Worker:
    """A process at one site that runs one job after another."""

    def __init__(self, site: Site) -> None:
        self._process = subprocess.Popen(
            [*site.prefix, sys.executable, "-m", "framelane.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, job: Job) -> None:
        """Begin a job, and wait until what it needs is open."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._read(job, SLACK_S)
        if line != "ready":
            self._raise(job, line)

    def finish(self, job: Job) -> Outcome:
        """Wait for the job's end."""
        line = self._read(job, job.duration_s + job.idle_s + SLACK_S)
        if not line or "error" in (fields := json.loads(line)):
            self._raise(job, line)
        return Outcome(**fields)

    def _read(self, job: Job, limit_s: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], limit_s)[0]:
            raise FramelaneError(f"benchmark loop {job.loop} gave no answer within {limit_s:.0f} s")
        return self._process.stdout.readline().strip()

    def _raise(self, job: Job, line: str) -> NoReturn:
        reason = json.loads(line)["error"] if line else f"the process ended with status {self._process.wait()}"
        raise FramelaneError(f"benchmark loop {job.loop} failed: {reason}")

    def close(self) -> None:
        """End the process, in the middle of a job too."""
        self._process.kill()
        self._process.communicate()


class Pair:
    """The two sides of a benchmark: the near one sends and times, the far one receives or answers."""

    def __init__(self, near: Site, far: Site) -> None:
        self.near, self.far = Worker(near), Worker(far)

    def run(self, near: Job, far: Job) -> tuple[Outcome, Outcome]:
        """Run both jobs and return their outcomes. The far side is ready before the near one begins."""
        self.far.start(far)
        self.near.start(near)
        return self.near.finish(near), self.far.finish(far)

    def close(self) -> None:
        """End both processes."""
        self.near.close()
        self.far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def measure_rate(pair: Pair, near_job: Job, far_job: Job) -> Measurement:
    """Return the rate that the far side received, in messages a second."""
    near, far = pair.run(near_job, far_job)
    seconds = far.elapsed_ns / 1e9
    if not far.messages or seconds <= 0:
        raise FramelaneError(f"benchmark loop {far_job.loop}: nothing arrived")
    return Measurement(
        value=far.messages / seconds,
        bytes_per_second=far.bytes / seconds,
        loss=max(0.0, 1 - far.messages / near.messages) if near.messages else 0.0,
        cpu_s_per_million=(near.cpu_ns + far.cpu_ns) / 1e9 / far.messages * 1e6,
        system_calls_per_message=(near.system_calls + far.system_calls) / far.messages,
    )


def percentiles_us(samples_ns: Sequence[int]) -> dict[str, float]:
    """Return percentiles of round trip times, microseconds."""
    histogram = HdrHistogram(1, 60_000_000_000, 3)
    for sample in samples_ns:
        histogram.record_value(sample)
    named = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
    return {name: histogram.get_value_at_percentile(percentile) / 1000 for name, percentile in named.items()}


def measure_round_trips(pair: Pair, near_job: Job, far_job: Job) -> Measurement:
    """Return the median round trip time, in microseconds, with the other percentiles."""
    near, far = pair.run(near_job, far_job)
    percentiles = percentiles_us(near.samples_ns)
    return Measurement(
        value=percentiles["p50"],
        cpu_s_per_million=(near.cpu_ns + far.cpu_ns) / 1e9 / max(near.messages, 1) * 1e6,
        system_calls_per_message=(near.system_calls + far.system_calls) / max(near.messages, 1),
        percentiles_us=percentiles,
    )


def alternate(
    measure: Sequence[Callable[[], Measurement]], runs: int, progress: Callable[[], None]
) -> list[list[Measurement]]:
    """Run each measurement ``runs`` times, in turn, so that a disturbance meets all of them."""
    taken: list[list[Measurement]] = [[] for _ in measure]
    for _ in range(runs):
        for one, into in zip(measure, taken, strict=True):
            into.append(one())
            progress()
    return taken
