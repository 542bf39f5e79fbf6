"""What can go wrong in a client."""

from __future__ import annotations

from framelane.errors import FramelaneError
from framelane.protocol.error_codes import ErrorCode

__all__ = [
    "ClientClosed",
    "ClientError",
    "ClientTimeout",
    "DriverTimeout",
    "OfferError",
    "OfferTimeout",
    "RegistrationError",
]


class ClientError(FramelaneError):
    """Base of the client's errors."""


class RegistrationError(ClientError):
    """The driver answered a command with an error.

    :ivar code: of the driver's answer; one that we do not know is ``UNKNOWN_CODE_VALUE``.
    """

    def __init__(self, message: str, code: int) -> None:
        self.code = ErrorCode(code) if code in ErrorCode.__members__.values() else ErrorCode.UNKNOWN_CODE_VALUE
        super().__init__(f"{message} (error code {code}, {self.code.name})")


class ClientClosed(ClientError):
    """The client is closed, by its application or because of what ``__cause__`` says."""


class DriverTimeout(ClientError):
    """The driver died, shut down, or did not answer within the driver timeout. Closes the client, unless it was only an
    answer that did not come."""


class ClientTimeout(ClientError):
    """The driver took this client for dead, and let go of everything that it had. Closes the client."""


class OfferError(ClientError):
    """A message cannot be published, now or later: too long, the publication closed, or the stream at its end."""


class OfferTimeout(ClientError):
    """A message could not be published in time.

    :ivar result: what the last offer returned, such as ``Publication.BACK_PRESSURED``.
    """

    def __init__(self, message: str, result: int) -> None:
        super().__init__(message)
        self.result = result
