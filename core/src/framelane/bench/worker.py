"""One side of the measurements, in a process of its own: ``python -m framelane.bench.worker``.

Reads jobs, each a line of JSON, from standard input. For each it writes ``ready`` when what has to be open is open, and
when the loop is over its outcome, or ``{"error": ...}``, as a line of JSON. The loop of a receiving side goes on until
the line :data:`~framelane.bench.jobs.END` comes. A line with two jobs runs them together, each on a thread of its own,
and gives two outcomes. ``null`` closes what they left open, and is answered by itself.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from framelane._native import ffi, lib
from framelane.bench.devices import floor_loop, open_end, upkeep
from framelane.bench.jobs import END, Job, Outcome, Ready, parse_job
from framelane.bench.streams import published, subscribed, useful_calls
from framelane.errors import FramelaneError
from framelane.interrupts import end_with_parent, release
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport, open_transport, raise_native
from framelane.transport.registry import discover

__all__ = ["main"]

Loop = Callable[[Job, Ready], Outcome]

#: Devices of the last line, which stay until ``null`` says that the other process has done with theirs too.
held = ExitStack()

METHODS = {"sendto": lib.FL_BENCH_SENDTO, "sendmmsg": lib.FL_BENCH_SENDMMSG, "segment": lib.FL_BENCH_SEGMENT}


def native_params(job: Job) -> Any:
    """Return the job as ``fl_bench_params_t *``."""
    params = ffi.new("fl_bench_params_t *")
    for target, address in ((params.local, job.local), (params.peer, job.peer)):
        if address is not None:
            Address.of(*address).store(target)
    params.length, params.min_length, params.max_length = job.length, job.min_length, job.max_length
    params.seed, params.method, params.buffer_length = job.seed, METHODS[job.method], job.buffer_length
    params.duration_ns, params.idle_ns = int(job.duration_s * 1e9), int(job.idle_s * 1e9)
    params.end_fd = job.end_fd
    params.count, params.warm_up = job.count, job.warm_up
    params.warm_up_ns = int(job.warm_up_s * 1e9)
    params.region_length = job.region_length
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


def socket_loop(function: Callable[..., int]) -> Loop:
    """Make a loop of one of the socket floors."""

    def run(job: Job, ready: Ready) -> Outcome:
        result = ffi.new("fl_bench_result_t *")
        ready()
        return finish(function(native_params(job), result), job.loop, result)

    return run


def socket_ping(job: Job, ready: Ready) -> Outcome:
    """Raw round trips."""
    result, samples = ffi.new("fl_bench_result_t *"), ffi.new("int64_t[]", job.count)
    ready()
    code = lib.fl_bench_socket_ping(native_params(job), samples, result)
    return finish(code, job.loop, result, samples, job.count)


def transport_loop(function: Callable[..., int]) -> Loop:
    """Make a loop over the ops of an installed transport, and count its system calls."""

    def run(job: Job, ready: Ready) -> Outcome:
        plugin = discover().plugins[job.transport]
        with closing(open_transport(plugin.spec)) as opened:
            return run_transport(function, opened, job, ready)

    return run


def device_loop(function: Callable[..., int]) -> Loop:
    """Make such a loop at one end of an arrangement."""

    def run(job: Job, ready: Ready) -> Outcome:
        opened = open_end(job, held)
        with upkeep(opened):
            return run_transport(function, opened, job, ready)

    return run


def run_transport(function: Callable[..., int], opened: OpenTransport, job: Job, ready: Ready) -> Outcome:
    """Run a loop over an open transport."""
    result = ffi.new("fl_bench_result_t *")
    ready()
    code = function(opened.binding, native_params(job), result)
    result.system_calls = useful_calls(opened.stats())
    return finish(code, job.loop, result)


def ring_loop(function: Callable[..., int]) -> Loop:
    """Make a loop over the IPC floor's ring."""

    def run(job: Job, ready: Ready) -> Outcome:
        with Path(job.ring).open("r+b") as file, mmap.mmap(file.fileno(), lib.FL_BENCH_RING_LENGTH) as memory:
            result = ffi.new("fl_bench_result_t *")
            view = ffi.from_buffer(memory, require_writable=True)
            ready()
            code = function(view, native_params(job), result)
            ffi.release(view)
            return finish(code, job.loop, result)

    return run


def publish(job: Job, ready: Ready) -> Outcome:
    """Offer messages through a driver."""
    with published(job.directory, job.channels[0], job.streams[0]) as publication:
        result = ffi.new("fl_bench_result_t *")
        ready()
        return finish(lib.fl_bench_publish(publication.native, native_params(job), result), job.loop, result)


def subscribe(job: Job, ready: Ready) -> Outcome:
    """Count messages that a driver delivers."""
    with subscribed(job.directory, job.channels[0], job.streams[0]) as subscription:
        result = ffi.new("fl_bench_result_t *")
        ready()
        return finish(lib.fl_bench_subscribe(subscription.native, native_params(job), result), job.loop, result)


def ping(job: Job, ready: Ready) -> Outcome:
    """Round trips through two drivers: there on the first channel, back on the second."""
    with (
        subscribed(job.directory, job.channels[1], job.streams[1]) as subscription,
        published(job.directory, job.channels[0], job.streams[0]) as publication,
    ):
        result, samples = ffi.new("fl_bench_result_t *"), ffi.new("int64_t[]", job.count)
        ready()
        code = lib.fl_bench_ping(publication.native, subscription.native, native_params(job), samples, result)
        return finish(code, job.loop, result, samples, job.count)


def pong(job: Job, ready: Ready) -> Outcome:
    """Send back what comes."""
    with (
        subscribed(job.directory, job.channels[0], job.streams[0]) as subscription,
        published(job.directory, job.channels[1], job.streams[1], wait=False) as publication,
    ):
        result = ffi.new("fl_bench_result_t *")
        ready()
        code = lib.fl_bench_pong(publication.native, subscription.native, native_params(job), result)
        return finish(code, job.loop, result)


LOOPS: dict[str, Loop] = {
    "floor": lambda job, ready: floor_loop(job, ready, held),
    "device_send": device_loop(lib.fl_bench_transport_send),
    "device_receive": device_loop(lib.fl_bench_transport_receive),
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


def run_together(near: Job, far: Job) -> list[Outcome]:
    """Run two jobs on threads of this process; the near one begins when the far one is ready.

    :returns: their outcomes. Processor time is of the process, and so stands in the near one's alone.
    """
    is_ready = threading.Event()
    end_fd, end = os.pipe()
    with os.fdopen(end_fd), os.fdopen(end, "w") as sending, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_job, replace(far, end_fd=end_fd), is_ready.set)
        while not is_ready.wait(0.01):
            if waiting.done():
                waiting.result()
        try:
            outcome = run_job(near, announce_ready)
        finally:
            sending.close()
        return [outcome, replace(waiting.result(), cpu_ns=0)]


class Start:
    """A :data:`Ready` that measures, just before the loop, how far the other side's processor is."""

    def __init__(self, job: Job, announce: Ready) -> None:
        self._job, self._announce = job, announce
        self.handover_ns = 0

    def __call__(self) -> None:
        self._announce()
        if not self._job.handover:
            return
        with Path(self._job.handover).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            view = ffi.from_buffer(memory, require_writable=True)
            try:
                if self._job.leads:
                    self.handover_ns = lib.fl_bench_handover_lead(view)
                else:
                    lib.fl_bench_handover_follow(view, self._job.end_fd)
            finally:
                ffi.release(view)
        if self.handover_ns < 0:
            raise FramelaneError("the other side did not answer for 10 s")


def run_job(job: Job, announce: Ready) -> Outcome:
    """Run a loop.

    :param announce: called when what it needs is open.
    """
    start = Start(job, announce)
    outcome = LOOPS[job.loop](job, start)
    return replace(outcome, handover_ns=start.handover_ns)


def announce_ready() -> None:
    """Tell the parent that the other side may begin: what has to be open is open."""
    print("ready", flush=True)


def run_line(line: str) -> Any:
    """Run the job, or the two jobs, of a line; return the answer."""
    read = json.loads(line)
    try:
        if read is None:
            held.close()
            return None
        if isinstance(read, list):
            return [asdict(outcome) for outcome in run_together(*map(parse_job, read))]
        job = parse_job(read)
        return asdict(run_job(job, announce_ready))
    except FramelaneError as error:
        return {"error": str(error)}


def main() -> None:
    """Run the jobs on standard input until it ends. An interrupt from the terminal is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    release()
    for line in sys.stdin:
        if line != END:  # else it was of the job before
            print(json.dumps(run_line(line)), flush=True)


if __name__ == "__main__":
    main()
