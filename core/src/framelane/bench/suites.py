"""The benchmarks: which loops run against which floors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from framelane._native import lib
from framelane.bench.model import Benchmark, Lengths, Measurement, Result
from framelane.bench.network import Site, loopback, veth_pair
from framelane.bench.runner import Pairing, alternate, measure_rate
from framelane.bench.worker import Job

__all__ = ["Options", "count_runs", "run_suite"]

FRAME_LENGTHS: tuple[Lengths, ...] = (64, 320, 1408, "mixed")
FRAME_BOUNDS = (64, 1408)
#: Socket buffers of both sides: large enough that the system's default is not what is measured.
BUFFER_LENGTH = 4 * 1024 * 1024
FLOOR_NAMES = {
    "sendto": "raw sendto/recvfrom",
    "sendmmsg": "raw sendmmsg/recvmmsg",
    "segment": "raw UDP_SEGMENT/UDP_GRO",
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    transport: str = "sockets"
    veth: bool = False
    seconds: float = 0.25  #: of one loop
    runs: int = 5


@contextmanager
def ends(options: Options) -> Iterator[tuple[Site, Site]]:
    """The two sites of a benchmark."""
    with veth_pair() if options.veth else loopback() as pair:
        yield pair


def lengths_of(options: Options) -> list[Lengths]:
    """Return the datagram lengths of ``frames``; the largest only where no route cuts it."""
    return [*FRAME_LENGTHS, *([] if options.veth else [lib.FL_BENCH_LARGEST])]


def floors_of(length: Lengths) -> tuple[str, ...]:
    """Return the floors that make sense for a length."""
    if length == "mixed":
        return ("sendto", "sendmmsg")
    return ("sendto",) if length == lib.FL_BENCH_LARGEST else ("sendto", "sendmmsg", "segment")


def frame_jobs(options: Options, length: Lengths, near: Site, far: Site) -> tuple[Job, Job]:
    """Return the sending and the receiving job for datagrams of a length, as a floor; ours differ in the loop alone."""
    send = Job(
        loop="socket_send",
        local=(near.address, 0),
        peer=(far.address, 20321),
        length=0 if length == "mixed" else length,
        min_length=FRAME_BOUNDS[0],
        max_length=FRAME_BOUNDS[1],
        buffer_length=BUFFER_LENGTH,
        duration_s=options.seconds,
        transport=options.transport,
    )
    receive = replace(send, loop="socket_receive", local=(far.address, 20321), peer=None, duration_s=5.0)
    return send, receive


def frames(options: Options, progress: Callable[[], None]) -> list[Result]:
    """Datagrams through the transport's ops, without a driver."""
    results = []
    with ends(options) as sites:
        for length in lengths_of(options):
            for direction, (near, far) in (("forward", sites), ("backward", sites[::-1])):
                send, receive = frame_jobs(options, length, near, far)
                ours = Pairing(
                    replace(receive, loop="transport_receive"), replace(send, loop="transport_send"), far, near
                )
                floors = floors_of(length)
                pairings = [
                    ours,
                    *(Pairing(replace(receive, method=m), replace(send, method=m), far, near) for m in floors),
                ]
                taken = alternate([partial(measure_rate, pairing) for pairing in pairings], options.runs, progress)
                results += results_of("frames", options.transport, length, direction, floors, taken)
    return results


def results_of(
    suite: str,
    transport: str,
    length: Lengths,
    direction: str,
    floors: Sequence[str],
    taken: Sequence[Sequence[Measurement]],
) -> list[Result]:
    """Return one result for each floor; ours are ``taken[0]``."""
    return [
        Result(
            name=f"{transport} {suite}",
            message_length=length,
            direction=direction,
            unit="messages/s",
            floor_name=FLOOR_NAMES[floor],
            ours=taken[0],
            floor=measured,
        )
        for floor, measured in zip(floors, taken[1:], strict=True)
    ]


SUITES: dict[str, Callable[[Options, Callable[[], None]], list[Result]]] = {"frames": frames}


def count_runs(suite: str, options: Options) -> int:
    """Return how many measurements a suite takes; for a progress bar."""
    assert suite == "frames"
    return sum(2 * options.runs * (1 + len(floors_of(length))) for length in lengths_of(options))


def run_suite(suite: str, options: Options, progress: Callable[[], None] = lambda: None) -> Benchmark:
    """Run a benchmark."""
    notes = [f"{options.runs} alternating runs of {options.seconds} s each, medians"]
    load = os.getloadavg()[0]
    if load > 0.3:
        notes.append(f"the machine was busy when this began (load {load:.2f}): expect more spread")
    return Benchmark(suite, options.transport, SUITES[suite](options, progress), notes)
