"""What a benchmark yields."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Benchmark", "Lengths", "Measurement", "Result", "host_facts"]

#: A message or datagram length in bytes, or ``"mixed"``: uniform between two bounds, seeded.
Lengths = int | Literal["mixed"]


@dataclass(frozen=True)
class Measurement:
    """One run of one loop: rates of what the far process received, or round trip times."""

    value: float  #: in the result's unit
    bytes_per_second: float = 0.0
    messages: int = 0  #: that arrived, or round trips
    loss: float = 0.0  #: part of what was sent that did not arrive
    cpu_s_per_million: float = 0.0  #: processor seconds of all processes for a million messages
    #: Calls that moved a datagram, of all processes; those that found nothing are busy waiting and not counted.
    #: ``None``: none is made, or the transport does not tell.
    system_calls_per_message: float | None = None
    percentiles_us: dict[str, float] = field(default_factory=dict)
    #: Time of a word from one side's processor to the other's and back, just before the loop: near or far decides
    #: over what a loop gives, and is the host's to say where processors are virtual. ``None``: they share one.
    handover_ns: int | None = None


@dataclass(frozen=True)
class Result:
    """Ours and one floor, measured in turn."""

    name: str
    message_length: Lengths
    direction: str
    unit: str
    floor_name: str
    ours: Sequence[Measurement]
    floor: Sequence[Measurement]
    is_rate: bool = True  #: more is better; a time otherwise

    @property
    def median(self) -> float:
        """Our median, in the unit."""
        return statistics.median(m.value for m in self.ours)

    @property
    def floor_median(self) -> float:
        """The floor's median, in the unit."""
        return statistics.median(m.value for m in self.floor)

    @property
    def ratio(self) -> float:
        """Speed relative to the floor, the median of the turns' ratios; above 1 is better.

        What both of a turn met, such as processors farther apart, is not in it.
        """
        turns = [(mine.value, raw.value) for mine, raw in zip(self.ours, self.floor, strict=True)]
        return statistics.median(mine / raw if self.is_rate else raw / mine for mine, raw in turns)

    @property
    def handovers_ns(self) -> tuple[int, int] | None:
        """The shortest and the longest hand-over of all runs, ours and the floor's; ``None`` if both sides share a
        processor.
        """
        known = [one.handover_ns for one in (*self.ours, *self.floor) if one.handover_ns is not None]
        return (min(known), max(known)) if known else None

    def as_json(self) -> dict[str, Any]:
        """Return the result as ``--json`` prints it."""
        middle = sorted(self.ours, key=lambda m: m.value)[len(self.ours) // 2]
        return {
            "name": self.name,
            "message_length": self.message_length,
            "direction": self.direction,
            "median": self.median,
            "min": min(m.value for m in self.ours),
            "max": max(m.value for m in self.ours),
            "unit": self.unit,
            "floor_name": self.floor_name,
            "floor_median": self.floor_median,
            "ratio": self.ratio,
            "runs": len(self.ours),
            "handovers_ns": self.handovers_ns,
            **{key: value for key, value in asdict(middle).items() if key not in ("value", "handover_ns")},
        }


def host_facts() -> dict[str, Any]:
    """Return what a reader needs to know of the machine."""
    cores = len(os.sched_getaffinity(0))
    return {"kernel": platform.release(), "machine": platform.machine(), "cores": cores}


@dataclass(frozen=True)
class Benchmark:
    """One whole run."""

    benchmark: str
    transport: str
    results: Sequence[Result]
    notes: Sequence[str] = ()
    host: dict[str, Any] = field(default_factory=host_facts)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "benchmark": self.benchmark,
            "transport": self.transport,
            "host": self.host,
            "results": [result.as_json() for result in self.results],
            "notes": list(self.notes),
        }
