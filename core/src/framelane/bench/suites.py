"""The benchmarks: which loops run against which floors.

Each measurement of ours has its floors' beside it in the same round, so that a disturbance of the machine meets all.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from framelane._native import lib
from framelane.bench.arrangements import count_arrangements, has_arrangements, run_arrangements
from framelane.bench.jobs import Job
from framelane.bench.model import Benchmark, Lengths, Measurement, Result
from framelane.bench.network import Site, loopback, veth_pair
from framelane.bench.runner import Pair, Processes, Watched, alternate, measure_rate, measure_round_trips
from framelane.bench.streams import DriverProcess
from framelane.errors import FramelaneError, TransportError
from framelane.transport.registry import discover

__all__ = ["SUITES", "Options", "Suite", "run_suite", "with_lengths"]

FRAME_LENGTHS: tuple[Lengths, ...] = (64, 320, 1408, "mixed")
FRAME_BOUNDS = (64, 1408)
MESSAGE_LENGTHS: tuple[Lengths, ...] = (32, 288, 1344, "mixed")
MESSAGE_BOUNDS = (32, 1344)
#: Socket buffers of both sides: large enough that the system's default is not what is measured.
BUFFER_LENGTH = 4 * 1024 * 1024
TRIPS_PER_S = 20_000
#: Of a stream, before it is timed: the first pass over the terms of a new log costs page faults.
WARM_UP_S = 0.4
RING = "memcpy through a shared ring"
FLOOR_NAMES = {
    "sendto": "raw sendto/recvfrom",
    "sendmmsg": "raw sendmmsg/recvmmsg",
    "segment": "raw UDP_SEGMENT/UDP_GRO",
}
Progress = Callable[[], None]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    transport: str = "sockets"
    veth: bool = False
    seconds: float = 0.1  #: of one loop
    runs: int = 5
    lengths: tuple[Lengths, ...] = ()  #: those to measure; empty: all that the suite has

    def chosen(self, lengths: Sequence[Lengths]) -> list[Lengths]:
        """Return what is to be measured of a suite's lengths."""
        return [one for one in lengths if not self.lengths or one in self.lengths]


@dataclass(frozen=True)
class Suite:
    """One benchmark.

    :ivar run: measures and returns the results, calling the progress function after each measurement.
    :ivar count: how many measurements that are.
    :ivar lengths: all that it has.
    """

    run: Callable[[Options, Progress], list[Result]]
    count: Callable[[Options], int]
    lengths: Callable[[Options], Sequence[Lengths]]


@contextmanager
def ends(options: Options) -> Iterator[tuple[Site, Site]]:
    """The two sites of a benchmark."""
    with veth_pair() if options.veth else loopback() as pair:
        yield pair


def floors_of(length: Lengths) -> tuple[str, ...]:
    """Return the floors that make sense for a length: segmentation needs equal ones, and small enough ones."""
    if length == "mixed":
        return ("sendto", "sendmmsg")
    return ("sendto",) if length == lib.FL_BENCH_LARGEST else ("sendto", "sendmmsg", "segment")


def socket_jobs(options: Options, length: Lengths, bounds: tuple[int, int], near: Site, far: Site) -> tuple[Job, Job]:
    """Return the sending and the receiving job of a floor for datagrams of a length."""
    send = Job(
        loop="socket_send",
        local=(near.address, 0),
        peer=(far.address, far.port),
        length=0 if length == "mixed" else length,
        min_length=bounds[0],
        max_length=bounds[1],
        buffer_length=BUFFER_LENGTH,
        duration_s=options.seconds,
        idle_s=0.05,
        transport=options.transport,
    )
    return send, replace(send, loop="socket_receive", local=(far.address, far.port), peer=None)


def floor_measurements(pair: Pair, send: Job, receive: Job, floors: Sequence[str]) -> list[Callable[[], Measurement]]:
    """Return a measurement for each floor."""
    return [
        partial(measure_rate, pair, replace(send, method=method), replace(receive, method=method)) for method in floors
    ]


def results_of(
    name: str, length: Lengths, direction: str, floors: Sequence[str], taken: Sequence[Sequence[Measurement]]
) -> list[Result]:
    """Return one result for each floor; ours are ``taken[0]``."""
    return [
        Result(name, length, direction, "messages/s", floor, taken[0], measured)
        for floor, measured in zip(floors, taken[1:], strict=True)
    ]


# ---- frames: the transport's ops, without a driver ----


def frame_lengths(options: Options) -> list[Lengths]:
    """Return the datagram lengths; the largest only where no route, and no device, cuts it."""
    plugin = discover().plugins.get(options.transport)
    has_device = plugin is not None and has_arrangements(plugin)
    return [*FRAME_LENGTHS, *([] if options.veth or has_device else [lib.FL_BENCH_LARGEST])]


def message_lengths(_: Options) -> Sequence[Lengths]:
    """Return the message lengths."""
    return MESSAGE_LENGTHS


def run_frames(options: Options, progress: Progress) -> list[Result]:
    """Datagrams through the transport's ops, beside the raw system calls, or its own floor where it brings one."""
    results: list[Result] = []
    plugin = discover().plugins[options.transport]
    if has_arrangements(plugin):
        if options.veth:
            raise TransportError(
                f"transport '{options.transport}' says itself between which ends it is measured: leave out --veth"
            )
        return run_arrangements(
            plugin,
            seconds=options.seconds,
            runs=options.runs,
            lengths=options.chosen(frame_lengths(options)),
            bounds=FRAME_BOUNDS,
            progress=progress,
        )
    with ends(options) as sites:
        for direction, (near, far) in (("forward", sites), ("backward", sites[::-1])):
            with Processes(near, far) as pair:
                for length in options.chosen(frame_lengths(options)):
                    send, receive = socket_jobs(options, length, FRAME_BOUNDS, near, far)
                    ours: Callable[[], Measurement] = partial(
                        measure_rate,
                        pair,
                        replace(send, loop="transport_send"),
                        replace(receive, loop="transport_receive"),
                    )
                    floors = floors_of(length)
                    measurements = [ours, *floor_measurements(pair, send, receive, floors)]
                    taken = alternate(measurements, options.runs, progress)
                    names = [FLOOR_NAMES[floor] for floor in floors]
                    results += results_of(f"{options.transport} frames", length, direction, names, taken)
    return results


def count_frames(options: Options) -> int:
    """Return how many measurements ``frames`` makes."""
    plugin = discover().plugins.get(options.transport)
    lengths = options.chosen(frame_lengths(options))
    if plugin is not None and has_arrangements(plugin):
        return count_arrangements(plugin, options.runs, len(lengths))
    return 2 * options.runs * sum(1 + len(floors_of(length)) for length in lengths)


# ---- through drivers ----


@contextmanager
def drivers(options: Options, sites: Sequence[Site]) -> Iterator[list[DriverProcess]]:
    """A driver at each site."""
    with ExitStack() as stack:
        prefix = f"framelane-bench-{os.getpid()}-"
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm", prefix=prefix))
        started = []
        for index, site in enumerate(sites):
            driver = DriverProcess(site, Path(folder) / str(index), options.transport)
            stack.callback(driver.close)
            started.append(driver)
        yield started


def stream_job(options: Options, loop: str, driver: DriverProcess, length: Lengths, channels: Sequence[str]) -> Job:
    """Return a job of a client; the streams are to be filled in, new ones for each run."""
    return Job(
        loop=loop,
        length=0 if length == "mixed" else length,
        min_length=MESSAGE_BOUNDS[0],
        max_length=MESSAGE_BOUNDS[1],
        duration_s=options.seconds,
        idle_s=0.1,
        warm_up_s=WARM_UP_S,
        directory=str(driver.directory),
        channels=tuple(channels),
    )


_streams = itertools.count(1001)


def measure_streams(
    measure: Callable[[Pair, Job, Job, Sequence[Watched]], Measurement],
    pair: Pair,
    near: Job,
    far: Job,
    watched: Sequence[Watched],
) -> Measurement:
    """Measure on streams that no earlier run used: what lingers of those does not disturb."""
    streams = (next(_streams), next(_streams))
    return measure(pair, replace(near, streams=streams), replace(far, streams=streams), watched)


def stream_directions(options: Options) -> tuple[str, ...]:
    """Return the directions of ``throughput``; over loopback both are the same path."""
    return ("forward", "backward") if options.veth else ("forward",)


def run_throughput(options: Options, progress: Progress) -> list[Result]:
    """Messages from a publication to a subscription through two drivers."""
    results: list[Result] = []
    with ends(options) as sites, drivers(options, sites) as serving:
        for direction in stream_directions(options):
            step = 1 if direction == "forward" else -1
            (near, far), (from_driver, to_driver) = sites[::step], serving[::step]
            channel = f"aeron:udp?endpoint={far.address}:{far.port + 1}"
            with Processes(near, far) as pair:
                for length in options.chosen(MESSAGE_LENGTHS):
                    publish = stream_job(options, "publish", from_driver, length, [channel])
                    subscribe = stream_job(options, "subscribe", to_driver, length, [channel])
                    ours = partial(measure_streams, measure_rate, pair, publish, subscribe, serving)
                    send, receive = socket_jobs(options, length, MESSAGE_BOUNDS, near, far)
                    floors = floors_of(length)
                    taken = alternate([ours, *floor_measurements(pair, send, receive, floors)], options.runs, progress)
                    names = [FLOOR_NAMES[floor] for floor in floors]
                    results += results_of(f"{options.transport} throughput", length, direction, names, taken)
    return results


def count_throughput(options: Options) -> int:
    """Return how many measurements ``throughput`` makes."""
    measurements = sum(1 + len(floors_of(length)) for length in options.chosen(MESSAGE_LENGTHS))
    return len(stream_directions(options)) * options.runs * measurements


def run_latency(options: Options, progress: Progress) -> list[Result]:
    """Round trips through two drivers, beside a raw UDP ping/pong."""
    results = []
    trips = max(200, int(options.seconds * TRIPS_PER_S))
    with ends(options) as (near, far), drivers(options, (near, far)) as serving, Processes(near, far) as pair:
        channels = [
            f"aeron:udp?endpoint={far.address}:{far.port + 1}",
            f"aeron:udp?endpoint={near.address}:{near.port + 2}",
        ]
        for length in options.chosen(MESSAGE_LENGTHS):
            limit_s = options.seconds + 60
            ping = replace(
                stream_job(options, "ping", serving[0], length, channels),
                count=trips,
                warm_up=trips // 10,
                duration_s=limit_s,
            )
            pong = stream_job(options, "pong", serving[1], length, channels)
            send, receive = socket_jobs(options, length, MESSAGE_BOUNDS, near, far)
            floor = partial(
                measure_round_trips,
                pair,
                replace(send, loop="socket_ping", count=trips, warm_up=trips // 10, duration_s=limit_s),
                replace(receive, loop="socket_pong"),
            )
            ours = partial(measure_streams, measure_round_trips, pair, ping, pong, serving)
            mine, raw = alternate([ours, floor], options.runs, progress)
            name = f"{options.transport} latency"
            results.append(Result(name, length, "round trip", "us", "raw UDP ping/pong", mine, raw, is_rate=False))
    return results


def count_latency(options: Options) -> int:
    """Return how many measurements ``latency`` makes."""
    return options.runs * 2 * len(options.chosen(MESSAGE_LENGTHS))


def run_ipc(options: Options, progress: Progress) -> list[Result]:
    """Messages from a publication to a subscription of one driver, beside a plain ring."""
    results: list[Result] = []
    with (
        loopback() as (near, far),
        drivers(options, (near,)) as serving,
        Processes(near, far) as pair,
        ring_file() as ring,
    ):
        for length in options.chosen(MESSAGE_LENGTHS):
            publish = stream_job(options, "publish", serving[0], length, ["aeron:ipc"])
            subscribe = replace(publish, loop="subscribe")
            ours = partial(measure_streams, measure_rate, pair, publish, subscribe, serving)
            floor = partial(
                measure_rate,
                pair,
                replace(publish, loop="ring_send", ring=str(ring)),
                replace(subscribe, loop="ring_receive", ring=str(ring)),
            )
            taken = alternate([ours, floor], options.runs, progress)
            results += results_of(f"{options.transport} ipc", length, "forward", [RING], taken)
    return results


@contextmanager
def ring_file() -> Iterator[Path]:
    """A zeroed file in shared memory for the ring."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="framelane-ring-") as file:
        file.truncate(lib.FL_BENCH_RING_LENGTH)
        yield Path(file.name)


def count_ipc(options: Options) -> int:
    """Return how many measurements ``ipc`` makes."""
    return options.runs * 2 * len(options.chosen(MESSAGE_LENGTHS))


SUITES = {
    "frames": Suite(run_frames, count_frames, frame_lengths),
    "throughput": Suite(run_throughput, count_throughput, message_lengths),
    "latency": Suite(run_latency, count_latency, message_lengths),
    "ipc": Suite(run_ipc, count_ipc, message_lengths),
}


def check_transport(name: str) -> None:
    """Check that a transport is installed and not broken.

    :raises TransportError: with those that are.
    """
    registry = discover()
    if name not in registry.plugins:
        state = "is broken or disabled" if registry.broken_named(name) else "is not installed"
        raise TransportError(
            f"transport '{name}' {state}; installed: {', '.join(sorted(registry.plugins))}; "
            "'framelane transports' shows more"
        )


def with_lengths(name: str, options: Options, wanted: Sequence[str]) -> Options:
    """Return options that measure these lengths alone.

    :param wanted: as they were written.
    :raises FramelaneError: if the benchmark has not got one of them.
    """
    there = {str(length): length for length in SUITES[name].lengths(options)}
    for one in wanted:
        if one not in there:
            raise FramelaneError(f"--length {one}: `bench {name}` measures {', '.join(there)}")
    return replace(options, lengths=tuple(there[one] for one in wanted))


def run_suite(name: str, options: Options, progress: Progress = lambda: None) -> Benchmark:
    """Run a benchmark.

    :raises FramelaneError: if a side of it fails; every process that it started has ended then.
    """
    check_transport(options.transport)
    notes = [f"{options.runs} alternating runs of {options.seconds} s each, medians"]
    load = os.getloadavg()[0]
    if load > 0.3:
        notes.append(f"the machine was busy when this began (load {load:.2f}): expect more spread")
    return Benchmark(name, options.transport, SUITES[name].run(options, progress), notes)
