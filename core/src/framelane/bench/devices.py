"""The two ends of a device under measurement: the transport on it, or its floor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from framelane._native import ffi
from framelane.bench.jobs import Job, Outcome, Ready
from framelane.errors import FramelaneError
from framelane.transport.arrangement import Arrangement, FloorJob
from framelane.transport.native import OpenTransport, open_transport
from framelane.transport.registry import Plugin, discover

__all__ = ["arrangements_of", "floor_loop", "open_end", "upkeep"]

_UPKEEP_S = 0.02
_EVENTS = 16


def arrangements_of(plugin: Plugin, directory: Path) -> Sequence[Arrangement]:
    """Return what a plugin offers; nothing if it is to be measured over the kernel's network."""
    offered: list[Sequence[Arrangement]] = plugin.hooks.framelane_bench(directory=directory)
    return [arrangement for one in offered for arrangement in one]


def _arrangement(job: Job) -> tuple[Plugin, Arrangement]:
    plugin = discover().plugins[job.transport]
    for arrangement in arrangements_of(plugin, Path(job.directory)):
        if arrangement.name == job.arrangement:
            return plugin, arrangement
    raise FramelaneError(f"transport '{job.transport}' no longer offers the arrangement {job.arrangement!r}")


def open_end(job: Job, held: ExitStack) -> OpenTransport:
    """Open the transport at one end of an arrangement.

    :param held: closes it when the other end is done too: not every device bears that its peer goes while it polls.
    """
    plugin, arrangement = _arrangement(job)
    settings = plugin.spec.settings(**{**arrangement.ends[job.end].settings, "udp_checksum": job.has_checksums})
    return held.enter_context(closing(open_transport(plugin.spec, settings)))


@contextmanager
def upkeep(opened: OpenTransport) -> Iterator[None]:
    """Do meanwhile for a transport what a driver's control threads do."""
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep_up, args=(opened, is_over), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def _keep_up(opened: OpenTransport, is_over: threading.Event) -> None:
    binding = opened.binding
    events = ffi.new("fl_event_t[]", _EVENTS)
    while True:
        binding.ops.housekeeping(binding.transport, time.monotonic_ns())
        binding.ops.events(binding.transport, events, _EVENTS)
        if is_over.wait(_UPKEEP_S):
            return


def floor_loop(job: Job, ready: Ready, held: ExitStack) -> Outcome:
    """Run a loop of an arrangement's floor; the one with a peer sends.

    :param held: see :func:`open_end`.
    """
    _, arrangement = _arrangement(job)
    floor = held.enter_context(closing(arrangement.ends[job.end].floor()))
    ready()
    found = floor.run(
        FloorJob(
            is_sender=job.peer is not None,
            length=job.length,
            min_length=job.min_length,
            max_length=job.max_length,
            seed=job.seed,
            batch=job.batch,
            has_checksums=job.has_checksums,
            duration_ns=int(job.duration_s * 1e9),
            idle_ns=int(job.idle_s * 1e9),
            end_fd=job.end_fd,
        )
    )
    return Outcome(found.messages, 0, found.bytes, found.system_calls, found.elapsed_ns, found.cpu_ns)
