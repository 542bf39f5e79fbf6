"""One line about a running driver."""

from __future__ import annotations

from framelane.shm.cnc import CncFile
from framelane.shm.counter_types import CounterType
from framelane.shm.system_counters import SystemCounter

__all__ = ["DriverStatus"]

_RATES = (
    (SystemCounter.BYTES_SENT, "out"),
    (SystemCounter.BYTES_RECEIVED, "in"),
)
_SHOWN = (
    (SystemCounter.RETRANSMITS_SENT, "retransmits"),
    (SystemCounter.NAK_MESSAGES_SENT, "NAKs sent"),
    (SystemCounter.ERRORS, "errors"),
)


class DriverStatus:
    """Makes the line, with rates since the last one."""

    def __init__(self, cnc: CncFile) -> None:
        self._counters = cnc.counters()
        self._last: dict[SystemCounter, int] = {}
        self._last_s = 0.0

    def text(self, now_s: float) -> str:
        """Return the line.

        :param now_s: monotonic seconds.
        """
        kinds = [counter.type_id for counter in self._counters]
        parts = [
            f"{kinds.count(CounterType.CLIENT_HEARTBEAT)} clients",
            f"{kinds.count(CounterType.PUBLISHER_POSITION)} publications",
            f"{kinds.count(CounterType.RECEIVER_POSITION)} images",
        ]
        for counter, name in _RATES:
            value = self._counters.value(counter)
            grown = value - self._last.get(counter, value)
            self._last[counter] = value
            parts.append(f"{name} {grown / max(now_s - self._last_s, 1e-9) / 1e6:,.1f} MB/s")
        self._last_s = now_s
        parts += [f"{self._counters.value(counter):,} {name}" for counter, name in _SHOWN]
        return ", ".join(parts)
