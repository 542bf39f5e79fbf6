"""Events: what the driver transmits to its clients (shm 8.4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from framelane.errors import FramelaneError
from framelane.protocol.codec import Message, MessageError, fixed, i16, i32, i64, text, u16
from framelane.protocol.commands import MAX_ERROR_TEXT_LENGTH

__all__ = [
    "EVENTS",
    "IPC_SOURCE_IDENTITY",
    "AddressType",
    "AvailableImage",
    "ClientTimeout",
    "CounterReady",
    "ErrorResponse",
    "Event",
    "EventError",
    "EventType",
    "ExclusivePublicationReady",
    "NextAvailableSessionId",
    "OperationSuccess",
    "PublicationAdded",
    "PublicationError",
    "PublicationReady",
    "StaticCounterReady",
    "SubscriptionReady",
    "UnavailableCounter",
    "UnavailableImage",
    "decode_event",
]

#: Source identity of images of IPC publications and spies.
IPC_SOURCE_IDENTITY = "aeron:ipc"


class EventType(enum.IntEnum):
    """Type ids of the records. Clients refuse any other, so a driver must not invent one."""

    ON_ERROR = 0x0F01
    ON_AVAILABLE_IMAGE = 0x0F02
    ON_PUBLICATION_READY = 0x0F03
    ON_OPERATION_SUCCESS = 0x0F04
    ON_UNAVAILABLE_IMAGE = 0x0F05
    ON_EXCLUSIVE_PUBLICATION_READY = 0x0F06
    ON_SUBSCRIPTION_READY = 0x0F07
    ON_COUNTER_READY = 0x0F08
    ON_UNAVAILABLE_COUNTER = 0x0F09
    ON_CLIENT_TIMEOUT = 0x0F0A
    ON_STATIC_COUNTER = 0x0F0B
    ON_PUBLICATION_ERROR = 0x0F0C
    ON_NEXT_AVAILABLE_SESSION_ID = 0x0F0D


class AddressType(enum.IntEnum):
    """Of the source address of a :class:`PublicationError`."""

    OTHER = 0
    IPV4 = 1
    IPV6 = 2


class EventError(FramelaneError):
    """A record of the to-clients broadcast is no event that this version knows."""


@dataclass(frozen=True)
class Event(Message):
    """Base of all events."""

    TYPE: ClassVar[EventType]


@dataclass(frozen=True)
class ErrorResponse(Event):
    """The answer to a command that failed."""

    TYPE = EventType.ON_ERROR

    offending_command_correlation_id: int = i64()
    error_code: int = i32()
    error_message: str = text()


@dataclass(frozen=True)
class AvailableImage(Event):
    """One for each subscription that an image matches; the client must know the subscription already."""

    TYPE = EventType.ON_AVAILABLE_IMAGE

    correlation_id: int = i64()
    session_id: int = i32()
    stream_id: int = i32()
    subscription_registration_id: int = i64()
    subscriber_position_counter_id: int = i32()
    log_file: str = text()
    source_identity: str = text()


@dataclass(frozen=True)
class PublicationAdded(Event):
    """Base of both answers: ``registration_id`` is that of the first adder, ``correlation_id`` the command's."""

    correlation_id: int = i64()
    registration_id: int = i64()
    session_id: int = i32()
    stream_id: int = i32()
    publication_limit_counter_id: int = i32()
    channel_status_counter_id: int = i32()
    log_file: str = text()


@dataclass(frozen=True)
class PublicationReady(PublicationAdded):
    TYPE = EventType.ON_PUBLICATION_READY


@dataclass(frozen=True)
class ExclusivePublicationReady(PublicationAdded):
    TYPE = EventType.ON_EXCLUSIVE_PUBLICATION_READY


@dataclass(frozen=True)
class OperationSuccess(Event):
    TYPE = EventType.ON_OPERATION_SUCCESS

    correlation_id: int = i64()


@dataclass(frozen=True)
class UnavailableImage(Event):
    TYPE = EventType.ON_UNAVAILABLE_IMAGE

    correlation_id: int = i64()
    subscription_registration_id: int = i64()
    stream_id: int = i32()
    channel: str = text()


@dataclass(frozen=True)
class SubscriptionReady(Event):
    """``channel_status_counter_id`` is -1 for IPC and spies."""

    TYPE = EventType.ON_SUBSCRIPTION_READY

    correlation_id: int = i64()
    channel_status_counter_id: int = i32()


@dataclass(frozen=True)
class CounterReady(Event):
    """Also tells every other client of the counter."""

    TYPE = EventType.ON_COUNTER_READY

    correlation_id: int = i64()
    counter_id: int = i32()


@dataclass(frozen=True)
class UnavailableCounter(Event):
    """Sent before the counter is freed."""

    TYPE = EventType.ON_UNAVAILABLE_COUNTER

    registration_id: int = i64()
    counter_id: int = i32()


@dataclass(frozen=True)
class ClientTimeout(Event):
    TYPE = EventType.ON_CLIENT_TIMEOUT

    client_id: int = i64()


@dataclass(frozen=True)
class StaticCounterReady(Event):
    TYPE = EventType.ON_STATIC_COUNTER

    correlation_id: int = i64()
    counter_id: int = i32()


@dataclass(frozen=True)
class PublicationError(Event):
    """A receiver rejected a publication's image. C clients refuse a body of less than 72 bytes."""

    TYPE = EventType.ON_PUBLICATION_ERROR
    SHORTEST = 72

    registration_id: int = i64()
    destination_registration_id: int = i64()
    session_id: int = i32()
    stream_id: int = i32()
    receiver_id: int = i64()
    group_tag: int = i64()
    address_type: int = i16()
    source_port: int = u16()
    source_address: bytes = fixed(16)
    error_code: int = i32()
    error_message: str = text(MAX_ERROR_TEXT_LENGTH)


@dataclass(frozen=True)
class NextAvailableSessionId(Event):
    TYPE = EventType.ON_NEXT_AVAILABLE_SESSION_ID

    correlation_id: int = i64()
    next_session_id: int = i32()


#: Every event by its type id.
EVENTS: dict[int, type[Event]] = {
    event.TYPE: event
    for event in (
        ErrorResponse,
        AvailableImage,
        PublicationReady,
        OperationSuccess,
        UnavailableImage,
        ExclusivePublicationReady,
        SubscriptionReady,
        CounterReady,
        UnavailableCounter,
        ClientTimeout,
        StaticCounterReady,
        PublicationError,
        NextAvailableSessionId,
    )
}


def decode_event(type_id: int, body: bytes) -> Event:
    """Return the event that a record of the to-clients broadcast holds.

    :raises EventError: if the type is unknown or the body too short.
    """
    event = EVENTS.get(type_id)
    if event is None:
        raise EventError(f"event={type_id} unknown")
    try:
        return event.decode(body)
    except MessageError as error:
        raise EventError(f"event={type_id} {error}") from None
