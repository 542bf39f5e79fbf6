"""The driver's clock as Python reads it: the system's, or a virtual one in a simulation."""

from __future__ import annotations

from typing import Any

from framelane._native import ffi, lib

__all__ = ["Clock", "VirtualClock"]


class Clock:
    """The system's clocks.

    :ivar native: ``fl_clock_t *``, for the data plane and transports.
    """

    def __init__(self) -> None:
        self.native: Any = lib.fl_clock_system()

    def nano(self) -> int:
        """Monotonic time, nanoseconds."""
        return int(lib.fl_clock_nano(self.native))

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(lib.fl_clock_epoch(self.native)) // 1_000_000


class VirtualClock(Clock):
    """A clock that stands still until it is advanced."""

    def __init__(self, nano_ns: int = 1_000_000_000, epoch_ns: int = 1_700_000_000_000_000_000) -> None:
        self.native = ffi.gc(lib.fl_clock_virtual_new(nano_ns, epoch_ns), lib.fl_clock_virtual_free)

    def advance(self, delta_ns: int) -> None:
        """Move forward."""
        lib.fl_clock_advance(self.native, delta_ns)
