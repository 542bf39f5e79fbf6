"""How a plugin offers its devices to ``framelane bench frames``: where two ends are, and the floor beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["VETH_INTERFACE", "Arrangement", "ArrangementEnd", "Floor", "FloorJob", "FloorOutcome"]

#: Name of the interface at both ends of a veth pair.
VETH_INTERFACE = "eth0"


@dataclass(frozen=True)
class FloorJob:
    """What a loop of a floor is to do: the fields of ``fl_floor_params_t`` in ``framelane/floor.h``."""

    is_sender: bool
    length: int  #: of a datagram, bytes; 0: mixed, uniform between the two bounds
    min_length: int
    max_length: int
    seed: int
    batch: int  #: frames given to the device, or taken from it, at once
    has_checksums: bool  #: UDP's are computed and verified
    duration_ns: int  #: of sending
    idle_ns: int  #: the receiver ends so long after the last one, if the sender has ended
    end_fd: int  #: of the receiver: readable when the sender has ended


@dataclass(frozen=True)
class FloorOutcome:
    """What it counted: the fields of ``fl_floor_result_t``."""

    messages: int
    bytes: int
    system_calls: int
    elapsed_ns: int
    cpu_ns: int


class Floor(Protocol):
    """An open device of a floor."""

    def run(self, job: FloorJob) -> FloorOutcome:
        """Run a loop to its end, with the interpreter released; once. On any thread.

        :raises FramelaneError: if the device fails.
        """
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


@dataclass(frozen=True)
class ArrangementEnd:
    """One end of an arrangement."""

    address: str  #: that the transport has there
    settings: Mapping[str, Any]  #: of the plugin's settings model; ``udp_checksum`` is added
    floor: Callable[[], Floor]  #: opens the floor's device; called where the settings would be used


@dataclass(frozen=True)
class Arrangement:
    """Two ends that reach each other.

    ``place`` says where they are: both in one process, on a thread each (``process``); in two processes
    (``processes``); or in two, in network namespaces joined by a veth pair, whose interface is
    :data:`VETH_INTERFACE` at both ends and has the end's address with a prefix of 24 bits (``veth``).
    """

    name: str  #: results are called ``TRANSPORT NAME frames``; empty: ``TRANSPORT frames``
    place: Literal["process", "processes", "veth"]
    ends: tuple[ArrangementEnd, ArrangementEnd]
    floor_name: str  #: as results name the floor: the calls that it is made of
