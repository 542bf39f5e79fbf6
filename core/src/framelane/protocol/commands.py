"""Commands: what clients write into the to-driver ring (shm 8.2, 8.3)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, Self

from framelane.errors import FramelaneError
from framelane.protocol.codec import Message, MessageError, TextTooLongError, data, i32, i64, text, u64
from framelane.protocol.error_codes import ErrorCode

__all__ = [
    "COMMANDS",
    "MAX_CHANNEL_LENGTH",
    "MAX_ERROR_TEXT_LENGTH",
    "REVOKE",
    "AddCounter",
    "AddDestination",
    "AddExclusivePublication",
    "AddPublication",
    "AddReceiveDestination",
    "AddStaticCounter",
    "AddSubscription",
    "ClientClose",
    "ClientKeepalive",
    "Command",
    "CommandError",
    "CommandType",
    "DestinationCommand",
    "GetNextAvailableSessionId",
    "PublicationCommand",
    "RejectImage",
    "RemoveCounter",
    "RemoveDestination",
    "RemoveDestinationById",
    "RemovePublication",
    "RemoveReceiveDestination",
    "RemoveSubscription",
    "TerminateDriver",
    "decode_command",
]

#: Longest channel text, bytes; a longer one is decoded, and answered with ``INVALID_CHANNEL`` (shm 8.1).
MAX_CHANNEL_LENGTH = 4095
#: Longest reason of a rejection and message of a publication error, bytes.
MAX_ERROR_TEXT_LENGTH = 1023
#: Flag of :class:`RemovePublication`.
REVOKE = 1


class CommandType(enum.IntEnum):
    """Type ids of the records."""

    ADD_PUBLICATION = 0x01
    REMOVE_PUBLICATION = 0x02
    ADD_EXCLUSIVE_PUBLICATION = 0x03
    ADD_SUBSCRIPTION = 0x04
    REMOVE_SUBSCRIPTION = 0x05
    CLIENT_KEEPALIVE = 0x06
    ADD_DESTINATION = 0x07
    REMOVE_DESTINATION = 0x08
    ADD_COUNTER = 0x09
    REMOVE_COUNTER = 0x0A
    CLIENT_CLOSE = 0x0B
    ADD_RCV_DESTINATION = 0x0C
    REMOVE_RCV_DESTINATION = 0x0D
    TERMINATE_DRIVER = 0x0E
    ADD_STATIC_COUNTER = 0x0F
    REJECT_IMAGE = 0x10
    REMOVE_DESTINATION_BY_ID = 0x11
    GET_NEXT_AVAILABLE_SESSION_ID = 0x12


class CommandError(FramelaneError):
    """A record of the to-driver ring is no command.

    :ivar code: ``MALFORMED_COMMAND``, ``UNKNOWN_COMMAND_TYPE_ID``, or ``GENERIC_ERROR`` for an over-long reason.
    :ivar correlation_id: to answer with; ``None`` if the record is too short to have one.
    """

    def __init__(self, message: str, code: ErrorCode, correlation_id: int | None) -> None:
        super().__init__(message)
        self.code = code
        self.correlation_id = correlation_id


@dataclass(frozen=True)
class Command(Message):
    """Base of all commands: both ids come from the ring's correlation counter."""

    TYPE: ClassVar[CommandType]

    client_id: int = i64()
    correlation_id: int = i64()


@dataclass(frozen=True)
class PublicationCommand(Command):
    """Base of both that add a publication; the correlation id becomes the registration id of this use."""

    stream_id: int = i32()
    channel: str = text()


@dataclass(frozen=True)
class AddPublication(PublicationCommand):
    """Add a publication that others may share."""

    TYPE = CommandType.ADD_PUBLICATION


@dataclass(frozen=True)
class AddExclusivePublication(PublicationCommand):
    """Add a publication with a session of its own."""

    TYPE = CommandType.ADD_EXCLUSIVE_PUBLICATION


@dataclass(frozen=True)
class RemovePublication(Command):
    """Remove one use of a publication. Old clients send no flags: such a body has exactly 24 bytes."""

    TYPE = CommandType.REMOVE_PUBLICATION

    registration_id: int = i64()
    flags: int = u64(0)

    @property
    def revoke(self) -> bool:
        return bool(self.flags & REVOKE)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return super().decode(body + bytes(8) if len(body) == 24 else body)


@dataclass(frozen=True)
class AddSubscription(Command):
    """Add a subscription. ``registration_correlation_id`` means nothing: Java writes -1, C leaves 0."""

    TYPE = CommandType.ADD_SUBSCRIPTION

    registration_correlation_id: int = i64()
    stream_id: int = i32()
    channel: str = text()


@dataclass(frozen=True)
class RemoveSubscription(Command):
    TYPE = CommandType.REMOVE_SUBSCRIPTION

    registration_id: int = i64()


@dataclass(frozen=True)
class ClientKeepalive(Command):
    """A sign of life; stock clients store it in their heartbeat counter instead."""

    TYPE = CommandType.CLIENT_KEEPALIVE


@dataclass(frozen=True)
class ClientClose(Command):
    """The client is gone; the correlation id is -1."""

    TYPE = CommandType.CLIENT_CLOSE


@dataclass(frozen=True)
class DestinationCommand(Command):
    """Base of the four that name a publication, by its original registration id, or a subscription, and a channel."""

    registration_id: int = i64()
    channel: str = text()


@dataclass(frozen=True)
class AddDestination(DestinationCommand):
    """Add a destination to a publication."""

    TYPE = CommandType.ADD_DESTINATION


@dataclass(frozen=True)
class RemoveDestination(DestinationCommand):
    TYPE = CommandType.REMOVE_DESTINATION


@dataclass(frozen=True)
class AddReceiveDestination(DestinationCommand):
    """Add a destination to a subscription."""

    TYPE = CommandType.ADD_RCV_DESTINATION


@dataclass(frozen=True)
class RemoveReceiveDestination(DestinationCommand):
    TYPE = CommandType.REMOVE_RCV_DESTINATION


@dataclass(frozen=True)
class RemoveDestinationById(Command):
    """Remove the destination that a command with this correlation id added."""

    TYPE = CommandType.REMOVE_DESTINATION_BY_ID

    resource_registration_id: int = i64()
    destination_registration_id: int = i64()


@dataclass(frozen=True)
class AddCounter(Command):
    """Add a counter. Key and label are cut at 112 and 380 bytes by the driver."""

    TYPE = CommandType.ADD_COUNTER

    type_id: int = i32()
    key: bytes = data()
    label: str = text()


@dataclass(frozen=True)
class RemoveCounter(Command):
    TYPE = CommandType.REMOVE_COUNTER

    registration_id: int = i64()


@dataclass(frozen=True)
class AddStaticCounter(Command):
    """Add a counter that outlives its client, under a registration id that the application chose."""

    TYPE = CommandType.ADD_STATIC_COUNTER

    registration_id: int = i64()
    type_id: int = i32()
    key: bytes = data()
    label: str = text()


@dataclass(frozen=True)
class TerminateDriver(Command):
    TYPE = CommandType.TERMINATE_DRIVER

    token: bytes = data()


@dataclass(frozen=True)
class RejectImage(Command):
    """Reject an image. The C client leaves both ids zero and appends a NUL and slack to the reason."""

    TYPE = CommandType.REJECT_IMAGE

    image_correlation_id: int = i64()
    position: int = i64()
    reason: str = text(MAX_ERROR_TEXT_LENGTH)


@dataclass(frozen=True)
class GetNextAvailableSessionId(Command):
    TYPE = CommandType.GET_NEXT_AVAILABLE_SESSION_ID

    stream_id: int = i32()


#: Every command by its type id.
COMMANDS: dict[int, type[Command]] = {
    command.TYPE: command
    for command in (
        AddPublication,
        RemovePublication,
        AddExclusivePublication,
        AddSubscription,
        RemoveSubscription,
        ClientKeepalive,
        AddDestination,
        RemoveDestination,
        AddCounter,
        RemoveCounter,
        ClientClose,
        AddReceiveDestination,
        RemoveReceiveDestination,
        TerminateDriver,
        AddStaticCounter,
        RejectImage,
        RemoveDestinationById,
        GetNextAvailableSessionId,
    )
}

_CORRELATED = struct.Struct("<qq")


def decode_command(type_id: int, body: bytes) -> Command:
    """Return the command that a record of the to-driver ring holds.

    :raises CommandError: with the code and text of shm 8.1.
    """
    correlation_id = _CORRELATED.unpack_from(body)[1] if len(body) >= _CORRELATED.size else None
    command = COMMANDS.get(type_id)
    if command is None:
        raise CommandError(f"command={type_id} unknown", ErrorCode.UNKNOWN_COMMAND_TYPE_ID, correlation_id)
    try:
        return command.decode(body)
    except TextTooLongError as error:
        # Of commands, only the reason of a rejection has a limit (shm 9.7).
        raise CommandError(f"command={type_id} {error}", ErrorCode.GENERIC_ERROR, correlation_id) from None
    except MessageError as error:
        raise CommandError(f"command={type_id} {error}", ErrorCode.MALFORMED_COMMAND, correlation_id) from None
