"""What the processes of a benchmark are asked for, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["END", "Job", "Outcome", "Ready", "parse_job"]

#: Tells a worker that runs a receiving side that the sending side has ended.
END = "end\n"

#: Called by a loop when what it needs is open: the other side may begin.
Ready = Callable[[], None]


@dataclass(frozen=True)
class Job:
    """What to run. ``loop`` names a function of ``worker.LOOPS``."""

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
    end_fd: int = 0  #: of a receiving side: readable when the sending side has ended; standard input
    count: int = 0
    warm_up: int = 0
    warm_up_s: float = 0.0
    transport: str = "sockets"
    ring: str = ""  #: file in shared memory, of the IPC floor
    directory: str = ""  #: of a driver
    channels: tuple[str, ...] = ()
    streams: tuple[int, ...] = ()
    arrangement: str | None = None  #: name of one of the transport's, which are told of ``directory``
    end: int = 0  #: of it
    batch: int = 0  #: of its floor
    has_checksums: bool = True  #: in an arrangement
    region_length: int = 0  #: memory that datagrams are sent from and copied out to
    handover: str = ""  #: shared file, of the measurement before the loop; none without
    leads: bool = False  #: that measurement


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
    #: A word from this side's processor to the other's and back, told by the leading side; 0 if they share one.
    handover_ns: int = 0


def parse_job(fields: Mapping[str, Any]) -> Job:
    """Return the job that :func:`dataclasses.asdict` made these fields of, by way of JSON."""
    read = dict(fields)
    for key in ("local", "peer", "channels", "streams"):
        read[key] = tuple(read[key]) if read[key] is not None else None
    return Job(**read)
