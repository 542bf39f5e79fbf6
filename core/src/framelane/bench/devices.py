"""The two ends of a device under measurement: the transport on it, or its floor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from framelane._native import ffi
from framelane.bench.jobs import Job, Outcome, Ready
from framelane.errors import FramelaneError
from framelane.transport.arrangement import Arrangement, FloorJob
from framelane.transport.native import OpenTransport, open_transport
from framelane.transport.registry import Plugin, discover

__all__ = ["arrangements_of", "floor_loop", "open_end"]

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


@contextmanager
def open_end(job: Job) -> Iterator[OpenTransport]:
    """Open the transport at one end of an arrangement, with the upkeep that a driver's control thread does."""
    plugin, arrangement = _arrangement(job)
    settings = plugin.spec.settings(**{**arrangement.ends[job.end].settings, "udp_checksum": job.has_checksums})
    with closing(open_transport(plugin.spec, settings)) as opened:
        is_over = threading.Event()
        upkeep = threading.Thread(target=_keep_up, args=(opened, is_over), daemon=True)
        upkeep.start()
        try:
            yield opened
        finally:
            is_over.set()
            upkeep.join()


def _keep_up(opened: OpenTransport, is_over: threading.Event) -> None:
    binding = opened.binding
    events = ffi.new("fl_event_t[]", _EVENTS)
    while True:
        binding.ops.housekeeping(binding.transport, time.monotonic_ns())
        binding.ops.events(binding.transport, events, _EVENTS)
        if is_over.wait(_UPKEEP_S):
            return


def floor_loop(job: Job, ready: Ready) -> Outcome:
    """Run a loop of an arrangement's floor; the one with a peer sends."""
    _, arrangement = _arrangement(job)
    with closing(arrangement.ends[job.end].floor()) as floor:
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
            )
        )
    return Outcome(found.messages, 0, found.bytes, found.system_calls, found.elapsed_ns, found.cpu_ns)
