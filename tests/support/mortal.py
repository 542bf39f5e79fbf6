"""Subscribers that are killed at a byte of their file, and the end of what the driver still keeps for them."""

from __future__ import annotations

from pathlib import Path

from framelane.protocol.commands import ClientClose
from framelane.shm.cnc import CNC_FILE, CncFile
from framelane.shm.counter_types import CounterType
from framelane.testing.simulation import CommandClient, RealDriver
from support.processes import wait_until

__all__ = ["bury", "killed_at", "subscribers"]

#: Run by the subscriber's interpreter: of the write that reaches byte KILLED_AT of the file it writes what is before
#: that byte, and is killed. A signal from outside might come after the end.
_SITECUSTOMIZE = """
import os, signal
pwritev, goal = os.pwritev, int(os.environ["KILLED_AT"])
def write_or_die(descriptor, parts, offset):
    if offset + sum(map(len, parts)) < goal:
        return pwritev(descriptor, parts, offset)
    os.pwrite(descriptor, b"".join(parts)[: max(0, goal - offset)], offset)
    os.kill(os.getpid(), signal.SIGKILL)
os.pwritev = write_or_die
"""


def killed_at(folder: Path, goal: int) -> dict[str, str]:
    """Return the environment of a ``framelane subscribe`` that is killed when its file has so many bytes.

    :param folder: where the test may put a module.
    """
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    return {"PYTHONPATH": str(folder), "KILLED_AT": str(goal)}


def subscribers(directory: Path) -> list[int]:
    """Return the client ids of a driver's ``framelane subscribe``, dead ones too until they time out."""
    with CncFile.map(directory / CNC_FILE, writable=False) as cnc:
        cnc.find_sections()
        return [
            counter.registration_id
            for counter in cnc.counters()
            if counter.type_id == CounterType.CLIENT_HEARTBEAT and "name=framelane subscribe" in counter.label
        ]


def bury(directory: Path, dead: list[int]) -> None:
    """Take leave for clients that were killed, once others have joined the stream that the dead ones hold back.

    So a test can have long timeouts, which no busy machine meets, and need not wait for them.
    """

    def have_heirs_joined() -> bool:
        positions = [one for one in client.counters if one.type_id == CounterType.SUBSCRIBER_POSITION]
        return len(positions) > len(dead)

    client = CommandClient(RealDriver(directory))
    try:
        wait_until(have_heirs_joined, "another subscriber")
        for client_id in dead:
            client.client_id = client_id
            client.send(ClientClose)
    finally:
        client.detach()
