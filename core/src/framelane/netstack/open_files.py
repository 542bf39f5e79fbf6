"""Which programs have a file or a socket open, as ``/proc`` tells."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Program", "programs_with", "socket_owners"]

_PROC = Path("/proc")


@dataclass(frozen=True)
class Program:
    """A process."""

    pid: int
    command: str  #: empty if it has ended meanwhile


def programs_with(
    targets: Collection[str], proc: Path = _PROC, limit_s: float | None = None
) -> Iterator[tuple[str, Program]]:
    """Yield a target and a program for each descriptor that is open on one of the targets.

    Those of other users are seen with privilege only, and what ends meanwhile is left out.

    :param targets: as the links of ``/proc/PID/fd`` show them, such as ``/dev/vfio/7`` or ``socket:[4711]``.
    :param limit_s: stop looking after so long.
    """
    deadline = None if limit_s is None else time.monotonic() + limit_s
    for process in proc.iterdir():
        if deadline is not None and time.monotonic() > deadline:
            return
        if process.name.isdigit():
            for target in _links(process / "fd"):
                if target in targets:
                    yield target, Program(int(process.name), _command(process))


def socket_owners(inodes: Collection[int], proc: Path = _PROC, limit_s: float | None = None) -> dict[int, Program]:
    """Return a program for each of these sockets whose owner is found; see :func:`programs_with`."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, Program] = {}
    if not wanted:
        return owners
    for target, program in programs_with(wanted, proc, limit_s):
        owners.setdefault(wanted[target], program)
        if len(owners) == len(wanted):
            break
    return owners


def _links(directory: Path) -> Iterator[str]:
    with suppress(OSError):
        for entry in directory.iterdir():
            with suppress(OSError):
                yield str(entry.readlink())


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""
