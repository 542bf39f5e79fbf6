"""What all handles of shared memory have in common: checked return codes, closing, and being inert after a fork."""

from __future__ import annotations

import os
from typing import Any, NoReturn, Self

from framelane._native import ffi, lib
from framelane.errors import FramelaneError, NativeError

__all__ = ["Handle", "check", "raise_native"]


def raise_native(code: int) -> NoReturn:
    """Raise the calling thread's native error.

    :param code: the ``FL_E*`` value, positive.
    """
    message = ffi.string(lib.fl_error_text()).decode(errors="replace")
    lib.fl_error_clear()
    raise NativeError(message or f"native error {code}", code)


def check(result: int) -> int:
    """Return a native function's result if it is not negative.

    :raises NativeError: with the thread's error text.
    """
    if result < 0:
        raise_native(-result)
    return result


class Handle:
    """Something that is closed once, and only by the process that opened it.

    In a forked child every handle is inert: its methods raise, and closing or collecting it does nothing.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Can the handle be used, by this process?"""
        return self._is_open and os.getpid() == self._pid

    def require_open(self) -> None:
        """:raises FramelaneError: if the handle is closed or belongs to another process."""
        if os.getpid() != self._pid:
            raise FramelaneError(
                f"{type(self).__name__} was opened by process {self._pid} and is inert in process {os.getpid()}; "
                "open it again after the fork"
            )
        if not self._is_open:
            raise FramelaneError(f"{type(self).__name__} is closed")

    def close(self) -> None:
        """Let go of the memory. Does nothing the second time, and nothing in a forked child."""
        if self.is_open:
            self._is_open = False
            self._release()

    def _release(self) -> None:
        """Free what the handle holds. Called once, in the process that opened it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_is_open", False):
            self.close()


class View:
    """Records inside the memory of a handle, usable while that is open.

    :ivar memory: the handle that keeps the memory mapped.
    """

    def __init__(self, memory: Handle) -> None:
        self.memory = memory


class Memory(Handle):
    """Zeroed private memory in place of a mapped file, aligned to 8 bytes; for tests and simulations."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._words = ffi.new("int64_t[]", -(-length // 8))
        self.address: Any = ffi.cast("uint8_t *", self._words)
        self.length = length

    def buffer(self) -> memoryview:
        """The bytes, writable."""
        return memoryview(ffi.buffer(self.address, self.length))
