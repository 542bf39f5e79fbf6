"""What is wrong with a channel, as the driver answers it to a client."""

from __future__ import annotations

import enum

from framelane.errors import FramelaneError

__all__ = ["ChannelError", "ErrorCode"]


class ErrorCode(enum.IntEnum):
    """The error codes of the control protocol (shm 8.5) that channels give rise to."""

    INVALID_CHANNEL = 1  #: syntax and addresses of the channel itself; session id clash
    NOT_SUPPORTED = 8  #: well formed, but this release does not serve it
    UNKNOWN_HOST = 9  #: a name does not resolve
    GENERIC_ERROR = 11  #: parameter values, and mismatches with what exists


class ChannelError(FramelaneError):
    """A channel cannot be used.

    :ivar code: the code of the answer to the client.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
