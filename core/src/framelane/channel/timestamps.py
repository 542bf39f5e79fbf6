"""Where timestamps go into the frames of a channel (wire 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri
from framelane.channel.values import int32_of

__all__ = ["TimestampOffsets"]

_MEDIA_RECEIVE = "media-rcv-ts-offset"
_CHANNEL_RECEIVE = "channel-rcv-ts-offset"
_CHANNEL_SEND = "channel-snd-ts-offset"

_HEADER_LENGTH = 32
_TIMESTAMP_LENGTH = 8
_RESERVED_VALUE = -8  # what stands there ends where the payload begins
_UNSPECIFIED = -1


@dataclass(frozen=True)
class TimestampOffsets:
    """The offsets that a channel gives, relative to the payload, in bytes.

    -8 is the reserved value of the header; ``None``: not given. Other negative ones mean nothing, but are compared.
    """

    media_receive: int | None = None
    channel_receive: int | None = None
    channel_send: int | None = None

    @classmethod
    def parse(cls, uri: ChannelUri) -> Self:
        """Check all three, whether the channel is a publication's or a subscription's.

        :raises ChannelError: GENERIC_ERROR for a value that is no offset, and for two that overlap.
        """
        keys = (_MEDIA_RECEIVE, _CHANNEL_RECEIVE, _CHANNEL_SEND)
        offsets = [_offset_of(uri, key) for key in keys]
        given = [(key, offset) for key, offset in zip(keys, offsets, strict=True) if offset is not None]
        for index, (key, offset) in enumerate(given):
            for other_key, other in given[:index]:
                if abs(offset - other) < _TIMESTAMP_LENGTH:
                    raise ChannelError(
                        ErrorCode.GENERIC_ERROR,
                        f"{other_key}={uri.get(other_key)} and {key}={uri.get(key)} overlap, a timestamp takes "
                        f"{_TIMESTAMP_LENGTH} bytes: {uri}",
                    )
        return cls(*offsets)

    @property
    def media_receive_at(self) -> int:
        """The byte of a frame at which the time of its arrival goes; 0: it does not."""
        return _place_of(self.media_receive)

    @property
    def channel_receive_at(self) -> int:
        """The byte of a frame at which the time goes when the driver takes it; 0: it does not."""
        return _place_of(self.channel_receive)

    @property
    def channel_send_at(self) -> int:
        """The byte of a frame at which the time of sending goes; 0: it does not."""
        return _place_of(self.channel_send)

    def receive_difference(self, existing: TimestampOffsets) -> str | None:
        """Return what a subscription asks for and its endpoint does not have, as ``key=value``; ``None``: nothing."""
        return _difference(_MEDIA_RECEIVE, self.media_receive, existing.media_receive) or _difference(
            _CHANNEL_RECEIVE, self.channel_receive, existing.channel_receive
        )

    def send_difference(self, existing: TimestampOffsets) -> str | None:
        """Return what a publication asks for and its endpoint does not have, as ``key=value``; ``None``: nothing."""
        return _difference(_CHANNEL_SEND, self.channel_send, existing.channel_send)


def _offset_of(uri: ChannelUri, key: str) -> int | None:
    if uri.get(key) == "reserved":
        return _RESERVED_VALUE
    offset = int32_of(uri, key)
    return None if offset == _UNSPECIFIED else offset


def _place_of(offset: int | None) -> int:
    if offset is None or (offset < 0 and offset != _RESERVED_VALUE):
        return 0
    return _HEADER_LENGTH + offset


def _difference(key: str, requested: int | None, existing: int | None) -> str | None:
    if requested == existing:
        return None
    return f"{key}={_text(requested)} existing={_text(existing)}"


def _text(offset: int | None) -> str:
    if offset is None:
        return "(not specified)"
    return "reserved" if offset == _RESERVED_VALUE else str(offset)
