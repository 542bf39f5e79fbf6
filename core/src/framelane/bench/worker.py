"""One side of the measurements, in a process of its own: ``python -m framelane.bench.worker``.

Reads jobs, each a line of JSON, from standard input. For each it writes ``ready`` when what has to be open is open, and
when the loop is over its outcome, or ``{"error": ...}``, as a line of JSON. The loop of a receiving side goes on until
the line :data:`END` comes.
"""

from __future__ import annotations

import json
import mmap
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from framelane._native import ffi, lib
from framelane.bench.streams import published, subscribed, useful_calls
from framelane.errors import FramelaneError
from framelane.interrupts import end_with_parent, release
from framelane.transport.address import Address
from framelane.transport.native import open_transport, raise_native
from framelane.transport.registry import discover

__all__ = ["END", "Job", "Outcome"]

#: Tells a receiving side that the sending side has ended.
END = "end\n"

METHODS = {"sendto": lib.FL_BENCH_SENDTO, "sendmmsg": lib.FL_BENCH_SENDMMSG, "segment": lib.FL_BENCH_SEGMENT}


@dataclass(frozen=True)
class Job:
    """What to run. ``loop`` names a function of :data:`LOOPS`."""

    loop: str
    local: tuple[str, int] | None = None
    peer: tuple[str, int] | None = None
    length: int = 0  #: 0: mixed
    min_length: int = 0
    max_length: int = 0
    seed: int = 1
    method: str = "sendto"
    buffer_length: int = 0
    duration_s: float = 1.0
    idle_s: float = 0.2
    count: int = 0
    warm_up: int = 0
    warm_up_s: float = 0.0
    transport: str = "sockets"
    ring: str = ""  #: file in shared memory, of the IPC floor
    directory: str = ""  #: of a driver
    channels: tuple[str, ...] = ()
    streams: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What the loop counted."""

    messages: int
    warm_up_messages: int  #: before those; the CPU time is of both
    bytes: int
    system_calls: int
    elapsed_ns: int
    cpu_ns: int
    samples_ns: list[int] = field(default_factory=list)


def native_params(job: Job) -> Any:
    """Return the job as ``fl_bench_params_t *``."""
    params = ffi.new("fl_bench_params_t *")
    for target, address in ((params.local, job.local), (params.peer, job.peer)):
        if address is not None:
            Address.of(*address).store(target)
    params.length, params.min_length, params.max_length = job.length, job.min_length, job.max_length
    params.seed, params.method, params.buffer_length = job.seed, METHODS[job.method], job.buffer_length
    params.duration_ns, params.idle_ns = int(job.duration_s * 1e9), int(job.idle_s * 1e9)
    params.end_fd = sys.stdin.fileno()
    params.count, params.warm_up = job.count, job.warm_up
    params.warm_up_ns = int(job.warm_up_s * 1e9)
    return params


def finish(code: int, what: str, result: Any, samples: Any = None, count: int = 0) -> Outcome:
    """Turn a loop's return value and counts into an outcome, or raise."""
    if code < 0:
        raise_native(code, what)
    taken = ffi.unpack(samples, count) if samples is not None else []
    return Outcome(
        result.messages,
        result.warm_up_messages,
        result.bytes,
        result.system_calls,
        result.elapsed_ns,
        result.cpu_ns,
        taken,
    )


def announce_ready() -> None:
    """Tell the parent that the other side may begin: what has to be open is open."""
    print("ready", flush=True)


def socket_loop(function: Callable[..., int]) -> Callable[[Job], Outcome]:
    """Make a loop of one of the socket floors."""

    def run(job: Job) -> Outcome:
        result = ffi.new("fl_bench_result_t *")
        announce_ready()
        return finish(function(native_params(job), result), job.loop, result)

    return run


def socket_ping(job: Job) -> Outcome:
    """Raw round trips."""
    result, samples = ffi.new("fl_bench_result_t *"), ffi.new("int64_t[]", job.count)
    announce_ready()
    code = lib.fl_bench_socket_ping(native_params(job), samples, result)
    return finish(code, job.loop, result, samples, job.count)


def transport_loop(function: Callable[..., int]) -> Callable[[Job], Outcome]:
    """Make a loop over the ops of an installed transport, and count its system calls."""

    def run(job: Job) -> Outcome:
        plugin = discover().plugins[job.transport]
        opened = open_transport(plugin.spec, plugin.spec.settings())
        try:
            result = ffi.new("fl_bench_result_t *")
            announce_ready()
            code = function(opened.binding, native_params(job), result)
            result.system_calls = useful_calls(opened.stats())
            return finish(code, job.loop, result)
        finally:
            opened.close()

    return run


def ring_loop(function: Callable[..., int]) -> Callable[[Job], Outcome]:
    """Make a loop over the IPC floor's ring."""

    def run(job: Job) -> Outcome:
        with Path(job.ring).open("r+b") as file, mmap.mmap(file.fileno(), lib.FL_BENCH_RING_LENGTH) as memory:
            result = ffi.new("fl_bench_result_t *")
            view = ffi.from_buffer(memory, require_writable=True)
            announce_ready()
            code = function(view, native_params(job), result)
            ffi.release(view)
            return finish(code, job.loop, result)

    return run


def publish(job: Job) -> Outcome:
    """Offer messages through a driver."""
    with published(job.directory, job.channels[0], job.streams[0]) as publication:
        result = ffi.new("fl_bench_result_t *")
        announce_ready()
        return finish(lib.fl_bench_publish(publication.native, native_params(job), result), job.loop, result)


def subscribe(job: Job) -> Outcome:
    """Count messages that a driver delivers."""
    with subscribed(job.directory, job.channels[0], job.streams[0]) as subscription:
        result = ffi.new("fl_bench_result_t *")
        announce_ready()
        return finish(lib.fl_bench_subscribe(subscription.native, native_params(job), result), job.loop, result)


def ping(job: Job) -> Outcome:
    """Round trips through two drivers: there on the first channel, back on the second."""
    with (
        subscribed(job.directory, job.channels[1], job.streams[1]) as subscription,
        published(job.directory, job.channels[0], job.streams[0]) as publication,
    ):
        result, samples = ffi.new("fl_bench_result_t *"), ffi.new("int64_t[]", job.count)
        announce_ready()
        code = lib.fl_bench_ping(publication.native, subscription.native, native_params(job), samples, result)
        return finish(code, job.loop, result, samples, job.count)


def pong(job: Job) -> Outcome:
    """Send back what comes."""
    with (
        subscribed(job.directory, job.channels[0], job.streams[0]) as subscription,
        published(job.directory, job.channels[1], job.streams[1], wait=False) as publication,
    ):
        result = ffi.new("fl_bench_result_t *")
        announce_ready()
        code = lib.fl_bench_pong(publication.native, subscription.native, native_params(job), result)
        return finish(code, job.loop, result)


LOOPS: dict[str, Callable[[Job], Outcome]] = {
    "socket_send": socket_loop(lib.fl_bench_socket_send),
    "socket_receive": socket_loop(lib.fl_bench_socket_receive),
    "socket_ping": socket_ping,
    "socket_pong": socket_loop(lib.fl_bench_socket_pong),
    "transport_send": transport_loop(lib.fl_bench_transport_send),
    "transport_receive": transport_loop(lib.fl_bench_transport_receive),
    "ring_send": ring_loop(lib.fl_bench_ring_send),
    "ring_receive": ring_loop(lib.fl_bench_ring_receive),
    "publish": publish,
    "subscribe": subscribe,
    "ping": ping,
    "pong": pong,
}


def parse_job(line: str) -> Job:
    """Return the job of a line."""
    fields: dict[str, Any] = json.loads(line)
    for key in ("local", "peer", "channels", "streams"):
        fields[key] = tuple(fields[key]) if fields[key] is not None else None
    return Job(**fields)


def main() -> None:
    """Run the jobs on standard input until it ends. An interrupt from the terminal is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    release()
    for line in sys.stdin:
        if line == END:  # of the job before
            continue
        job = parse_job(line)
        try:
            answer = asdict(LOOPS[job.loop](job))
        except FramelaneError as error:
            answer = {"error": f"{job.loop}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
