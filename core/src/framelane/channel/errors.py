"""What is wrong with a channel, as the driver answers it to a client."""

from __future__ import annotations

from framelane.errors import FramelaneError
from framelane.protocol.error_codes import ErrorCode

__all__ = ["ChannelError", "ErrorCode"]


class ChannelError(FramelaneError):
    """A channel cannot be used.

    :ivar code: of the answer to the client (shm 8.5): INVALID_CHANNEL for syntax, addresses and session id clashes,
        UNKNOWN_HOST for names, NOT_SUPPORTED for what this release lacks, GENERIC_ERROR for parameter values and for
        mismatches with what exists.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
