"""Running two workers against each other, and ours and a floor in turn."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NoReturn, Protocol, Self

from hdrh.histogram import HdrHistogram

from framelane._native import lib
from framelane.bench.jobs import END, Job, Outcome
from framelane.bench.model import Measurement
from framelane.bench.network import Site
from framelane.errors import FramelaneError
from framelane.interrupts import start_child

__all__ = ["Pair", "Processes", "Threads", "Watched", "alternate", "measure_rate", "measure_round_trips"]

#: Hand-overs alike differ by this factor at most: the next farther processors are twice as far or more.
ALIKE = 1.6
#: Longest that a worker may take beyond the duration of its loop.
SLACK_S = 60.0


class Worker:
    """A process at one site that runs one job after another, or two together."""

    def __init__(self, site: Site) -> None:
        self._process = start_child(
            [*site.prefix, sys.executable, "-m", "framelane.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *jobs: Job) -> None:
        """Begin a job, and wait until what it needs is open. Two jobs: the near and the far one."""
        fields = [asdict(job) for job in jobs]
        self._write(json.dumps(fields if len(fields) > 1 else fields[0]) + "\n")
        line = self._read(jobs[0], SLACK_S)
        if line != "ready":
            self._raise(jobs[0], line)

    def end(self) -> None:
        """Tell a receiving side that nothing more is sent."""
        self._write(END)

    def finish(self, *jobs: Job) -> list[Outcome]:
        """Wait for the end of what was started."""
        line = self._read(jobs[0], max(job.duration_s + job.idle_s for job in jobs) + SLACK_S)
        if not line or "error" in (answer := json.loads(line)):
            self._raise(jobs[0], line)
        return [Outcome(**fields) for fields in (answer if isinstance(answer, list) else [answer])]

    def release(self, job: Job) -> None:
        """Have the process close what the job left open."""
        self._write("null\n")
        line = self._read(job, SLACK_S)
        if line != "null":
            self._raise(job, line)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is found where the answer is read
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self, job: Job, limit_s: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], limit_s)[0]:
            raise FramelaneError(f"benchmark loop {job.loop} gave no answer within {limit_s:.0f} s")
        line: str = self._process.stdout.readline()
        return line.strip()

    def _raise(self, job: Job, line: str) -> NoReturn:
        reason = json.loads(line)["error"] if line else f"the process ended with status {self._process.wait()}"
        raise FramelaneError(f"benchmark loop {job.loop} failed: {reason}")

    def close(self) -> None:
        """End the process, in the middle of a job too."""
        self._process.kill()
        self._process.communicate()


class Watched(Protocol):
    """A process that works for the two sides: a driver."""

    def cpu_ns(self) -> int:
        """Processor time that it has used."""
        ...

    def system_calls(self) -> int:
        """System calls that it has made to move datagrams."""
        ...


@dataclass(frozen=True)
class Turn:
    """One run of both sides, with what the watched processes used meanwhile."""

    near: Outcome
    far: Outcome
    watched_cpu_ns: int
    watched_calls: int

    def per_message(self, side: Outcome) -> tuple[float, float | None]:
        """Return processor seconds for a million messages, and system calls per message if any were seen.

        :param side: whose messages count, those of its warm-up too.
        """
        messages = side.messages + side.warm_up_messages
        cpu_ns = self.near.cpu_ns + self.far.cpu_ns + self.watched_cpu_ns
        calls = self.near.system_calls + self.far.system_calls + self.watched_calls
        return cpu_ns / 1e3 / messages, calls / messages if calls else None


class Pair(Protocol):
    """The two sides of a benchmark: the near one sends and times, the far one receives or answers."""

    def run(self, near: Job, far: Job, watched: Sequence[Watched] = ()) -> Turn:
        """Run both jobs. The far side is ready before the near one begins."""
        ...


class Handover:
    """The memory in which both sides measure, just before their loops, how far their processors are apart."""

    def __init__(self) -> None:
        self._file = os.memfd_create("framelane-bench-handover")

    def jobs(self, near: Job, far: Job) -> tuple[Job, Job]:
        """Return the two jobs with this measurement before them."""
        os.ftruncate(self._file, 0)
        os.ftruncate(self._file, lib.FL_BENCH_HANDOVER_LENGTH)
        file = f"/proc/{os.getpid()}/fd/{self._file}"  # has no name that a killed command could leave behind
        return replace(near, handover=file, leads=True), replace(far, handover=file)

    def close(self) -> None:
        """Give it back."""
        os.close(self._file)


class Processes:
    """A pair of two processes."""

    def __init__(self, near: Site, far: Site) -> None:
        self.near, self.far = Worker(near), Worker(far)
        self._handover = Handover()

    def run(self, near: Job, far: Job, watched: Sequence[Watched] = ()) -> Turn:
        """See :class:`Pair`."""
        near, far = self._handover.jobs(near, far)
        self.far.start(far)
        calls = sum(process.system_calls() for process in watched)
        self.near.start(near)
        cpu_ns = sum(process.cpu_ns() for process in watched)
        (near_outcome,) = self.near.finish(near)
        cpu_ns = sum(process.cpu_ns() for process in watched) - cpu_ns
        self.far.end()
        (far_outcome,) = self.far.finish(far)
        calls = sum(process.system_calls() for process in watched) - calls
        self.near.release(near)
        self.far.release(far)
        return Turn(near_outcome, far_outcome, cpu_ns, calls)

    def close(self) -> None:
        """End both processes."""
        self.near.close()
        self.far.close()
        self._handover.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Threads:
    """A pair of two threads in one process."""

    def __init__(self, site: Site) -> None:
        self.worker = Worker(site)
        self._handover = Handover()

    def run(self, near: Job, far: Job, watched: Sequence[Watched] = ()) -> Turn:
        """See :class:`Pair`. Nothing can be watched."""
        assert not watched
        near, far = self._handover.jobs(near, far)
        self.worker.start(near, far)
        near_outcome, far_outcome = self.worker.finish(near, far)
        self.worker.release(near)
        return Turn(near_outcome, far_outcome, 0, 0)

    def close(self) -> None:
        """End the process."""
        self.worker.close()
        self._handover.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def measure_rate(pair: Pair, near_job: Job, far_job: Job, watched: Sequence[Watched] = ()) -> Measurement:
    """Return the rate that the far side received, in messages a second.

    Over the longer of both sides' times: a receiver that got the processor late empties a full socket buffer faster
    than any network, and that is no rate.
    """
    turn = pair.run(near_job, far_job, watched)
    near, far = turn.near, turn.far
    seconds = max(near.elapsed_ns, far.elapsed_ns) / 1e9
    if not far.messages or seconds <= 0:
        raise FramelaneError(f"benchmark loop {far_job.loop}: nothing arrived")
    cpu_s_per_million, calls = turn.per_message(far)
    return Measurement(
        value=far.messages / seconds,
        bytes_per_second=far.bytes / seconds,
        messages=far.messages,
        loss=max(0.0, 1 - (far.messages + far.warm_up_messages) / (near.messages + near.warm_up_messages)),
        cpu_s_per_million=cpu_s_per_million,
        system_calls_per_message=calls,
        handover_ns=turn.near.handover_ns or None,
    )


def percentiles_us(samples_ns: Sequence[int]) -> dict[str, float]:
    """Return percentiles of round trip times, microseconds."""
    histogram = HdrHistogram(1, 60_000_000_000, 3)
    for sample in samples_ns:
        histogram.record_value(sample)
    named = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
    return {name: histogram.get_value_at_percentile(percentile) / 1000 for name, percentile in named.items()}


def measure_round_trips(pair: Pair, near_job: Job, far_job: Job, watched: Sequence[Watched] = ()) -> Measurement:
    """Return the median round trip time, in microseconds, with the other percentiles."""
    turn = pair.run(near_job, far_job, watched)
    percentiles = percentiles_us(turn.near.samples_ns)
    cpu_s_per_million, calls = turn.per_message(turn.near)
    return Measurement(
        value=percentiles["p50"],
        messages=turn.near.messages,
        cpu_s_per_million=cpu_s_per_million,
        system_calls_per_message=calls,
        percentiles_us=percentiles,
        handover_ns=turn.near.handover_ns or None,
    )


def alternate(
    measure: Sequence[Callable[[], Measurement]], runs: int, progress: Callable[[], None]
) -> list[list[Measurement]]:
    """Run each measurement ``runs`` times, in turn, so that a disturbance meets all of them.

    A turn whose measurements ran on processors unlike far apart compares nothing, and is taken again; as many as half
    of ``runs``.
    """
    taken: list[list[Measurement]] = [[] for _ in measure]
    spare = runs // 2
    for _ in range(runs):
        turn = []
        for one in measure:
            turn.append(one())
            progress()
        while spare and not are_alike(turn):
            turn = [one() for one in measure]
            spare -= 1
        for measured, into in zip(turn, taken, strict=True):
            into.append(measured)
    return taken


def are_alike(turn: Sequence[Measurement]) -> bool:
    """Whether the sides of these measurements were as far from each other, or shared a processor in all of them."""
    known = [one.handover_ns for one in turn if one.handover_ns is not None]
    return not known or (len(known) == len(turn) and max(known) <= ALIKE * min(known))
