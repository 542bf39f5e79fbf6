"""The ops table of an ef_vi port over the stand-in's wire in memory, driven from Python as the driver's agents do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.port_ops import PortOps
from support.processes import wait_until
from support.udp_frames import Datagram

MODELS = ["sfn8522", "x2522", "x3522"]

#: Of the end that receives, and of the one that sends to it.
ADDRESS, FAR_ADDRESS = "10.88.0.1", "10.88.0.2"


def datagram(number: int = 0, port: int = 4000, length: int = 100, **parts: Any) -> bytes:
    """Return a frame whose payload begins with its number."""
    payload = number.to_bytes(4) + bytes((number + i) & 0xFF for i in range(max(0, length - 4)))
    return Datagram(ADDRESS, port, payload[:length], **{"source": FAR_ADDRESS} | parts).frame()


@dataclass(frozen=True)
class Received:
    """A received frame, copied out."""

    data: bytes
    clock: int
    timestamp_ns: int


class Adapters:
    """The stand-in's adapters, on one wire: what they are, and what is wrong with them from now on."""

    def __init__(self, directory: Path, monkeypatch: Any) -> None:
        self.control = directory / "control"
        self.words = dict.fromkeys(("eth2", "eth3"), f"wire=memory:{directory}")
        self.first = dict(self.words)
        monkeypatch.setenv("FRAMELANE_CIUL", ";".join(f"{name} {words}" for name, words in self.words.items()))
        monkeypatch.setenv("FRAMELANE_CIUL_CONTROL", str(self.control))
        self._write()

    def describe(self, interface: str, words: str) -> None:
        """Add to what an adapter is like; ``*`` is all of them, and the driver."""
        self.words[interface] = f"{self.words.get(interface, '')} {words}"
        self._write()

    def restore(self, interface: str, words: str = "") -> None:
        """Make an adapter what it was at first, and then this."""
        self.words[interface] = f"{self.first[interface]} {words}"
        self._write()

    def _write(self) -> None:
        beside = self.control.with_suffix(".new")
        beside.write_text("".join(f"{name} {words}\n" for name, words in self.words.items()))
        beside.replace(self.control)


class Port(PortOps):
    """An open and started port."""

    name = "efvi"

    def __init__(self, interface: str, *, start: bool = True, **settings: Any) -> None:
        from framelane_efvi.native import load
        from framelane_efvi.plugin import EfviTransport
        from framelane_efvi.settings import EfviSettings

        chosen = EfviSettings(**{"interface": interface, "queues": 1, "link_wait_ms": 0, **settings})
        super().__init__(*load(), lambda context: EfviTransport(chosen, context))
        if start:
            self.start(int(self.attributes.queues))

    def copied(self, frame: Any) -> Received:
        return Received(self.data(frame), frame.clock, frame.timestamp_ns)

    def poll(self, queue: int = 0) -> None:
        """One cycle in which nothing is expected to come."""
        frames, taken = self.take(queue=queue)
        self.release(frames, taken, queue)

    def make_room(self, queue: int) -> None:
        self.poll(queue)

    def wait_for_figure(self, name: str, value: int, queue: int = 0) -> None:
        """Poll until a figure has a value."""

        def has_it() -> bool:
            self.poll(queue)
            return self.stats()[name] == value

        wait_until(has_it, f"{name} = {value}; {self.stats()}")
