"""Running two workers against each other, and ours and a floor in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from hdrh.histogram import HdrHistogram

from framelane.bench.model import Measurement
from framelane.bench.network import Site
from framelane.bench.worker import Job, Outcome
from framelane.errors import FramelaneError

__all__ = ["Pairing", "alternate", "percentiles_us", "run_pair"]

#: Longest that a worker may take beyond the duration of its loop.
SLACK_S = 20.0


@dataclass(frozen=True)
class Pairing:
    """Two jobs against each other: the far side is started first and ends by itself."""

    far: Job
    near: Job
    far_site: Site
    near_site: Site


class _Worker:
    def __init__(self, job: Job, site: Site) -> None:
        self.job = job
        self._process = subprocess.Popen(
            [*site.prefix, sys.executable, "-m", "framelane.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self.outcome()

    def outcome(self) -> Outcome:
        try:
            out, err = self._process.communicate(timeout=self.job.duration_s + self.job.idle_s + SLACK_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise FramelaneError(f"benchmark loop {self.job.loop} did not end in time") from None
        lines = out.strip().splitlines()
        if self._process.returncode or not lines:
            reason = err.strip().splitlines()[-1] if err.strip() else f"exit status {self._process.returncode}"
            raise FramelaneError(f"benchmark loop {self.job.loop} failed: {reason}")
        return Outcome(**json.loads(lines[-1]))

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def run_pair(pairing: Pairing) -> tuple[Outcome, Outcome]:
    """Run both sides and return their outcomes: near, far."""
    far = _Worker(pairing.far, pairing.far_site)
    try:
        far.wait_ready()
        near = _Worker(pairing.near, pairing.near_site)
        try:
            near.wait_ready()
            return near.outcome(), far.outcome()
        except BaseException:
            near.kill()
            raise
    except BaseException:
        far.kill()
        raise


def measure_rate(pairing: Pairing) -> Measurement:
    """Return the rate that the far side received, in messages a second."""
    near, far = run_pair(pairing)
    seconds = far.elapsed_ns / 1e9
    if not far.messages or seconds <= 0:
        raise FramelaneError(f"benchmark loop {pairing.far.loop}: nothing arrived")
    return Measurement(
        value=far.messages / seconds,
        bytes_per_second=far.bytes / seconds,
        loss=1 - far.messages / near.messages if near.messages else 0.0,
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


def measure_round_trips(pairing: Pairing) -> Measurement:
    """Return the median round trip time, in microseconds, with the other percentiles."""
    near, far = run_pair(pairing)
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
