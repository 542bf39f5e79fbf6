"""The time that a process had to itself: what a limit on it counts where the machine may be overloaded."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["OwnTime"]

#: A look counts for no more than this, so that time in which the observer stood still too, a stopped machine's, is not
#: held against anybody.
_LONGEST_LOOK_S = 0.05
#: Of ``/proc/PID/stat``: runnable, and waiting for a disk or a page of a file.
_WAITING_FOR_THE_MACHINE = "RD"


class OwnTime:
    """Processor time of a child plus the time that it slept of its own accord, while it is looked at.

    A child that hangs sleeps, or computes; one that only waits for a processor or for a disk does neither.
    """

    def __init__(self, process_id: int) -> None:
        """Begin with what the process has used so far."""
        self._stat = Path(f"/proc/{process_id}/stat")
        self._slept_s, self._used_s = 0.0, 0.0
        _, self._used_s = self._read()
        self._used_before_s = self._used_s
        self._looked_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """What has been seen so far."""
        return self._slept_s + self._used_s - self._used_before_s

    def look(self) -> None:
        """Look at the process; to be called every few milliseconds, before it is reaped."""
        now_s = time.monotonic()
        self.count(*self._read(), now_s - self._looked_s)
        self._looked_s = now_s

    def count(self, state: str, used_s: float, since_s: float) -> None:
        """Count a look.

        :param state: the letter of ``/proc/PID/stat``.
        :param used_s: the process's processor time in all.
        :param since_s: how long ago the last look was.
        """
        self._used_s = used_s
        if state not in _WAITING_FOR_THE_MACHINE:
            self._slept_s += min(since_s, _LONGEST_LOOK_S)

    def _read(self) -> tuple[str, float]:
        try:
            # The second field is the program's name in parentheses, in which anything may stand.
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:  # it is gone, or /proc is not to be had: time passes
            return "X", self._used_s
        return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
