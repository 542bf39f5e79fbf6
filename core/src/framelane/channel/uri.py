"""Channel URIs: syntax, and a builder for clients (wire 5.1)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, replace
from typing import Self

from framelane.channel.errors import ChannelError, ErrorCode

__all__ = ["MAX_URI_LENGTH", "ChannelUri", "Media", "decode_channel"]

#: Longest channel text in bytes (shm 8.1).
MAX_URI_LENGTH = 4095

_SPY_PREFIX = "aeron-spy:"
_SCHEME = "aeron:"

# Of a repeated key the last counts for these and the first for all others, as in the native driver.
_LAST_COUNTS = frozenset({"endpoint", "interface", "control", "control-mode", "tags", "ttl"})

# Channels are echoed in logs, counter labels and on terminals, so nothing that could forge a line may be in them; lone
# surrogates have no UTF-8 form.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Media(enum.StrEnum):
    """What a channel runs over."""

    UDP = "udp"
    IPC = "ipc"


def _invalid(message: str) -> ChannelError:
    return ChannelError(ErrorCode.INVALID_CHANNEL, message)


def _too_long(length: int, text: str) -> ChannelError:
    shown = _shown(text[:MAX_URI_LENGTH])
    return _invalid(f"URI length ({length}) exceeds max supported length ({MAX_URI_LENGTH}): {shown}")


def _shown(text: str) -> str:
    """Return hostile text as printable ASCII."""
    return ascii(text)[1:-1]


def decode_channel(data: bytes) -> str:
    """Return the text of a channel as a client wrote it into a command.

    :raises ChannelError: if it is too long or not UTF-8.
    """
    if len(data) > MAX_URI_LENGTH:
        raise _too_long(len(data), data.decode("ascii", "backslashreplace"))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"channel is not UTF-8 at byte {error.start}: {ascii(data)[2:-1]}") from None


@dataclass(frozen=True)
class ChannelUri:
    """A channel URI. Parameters that nobody knows are kept.

    Every instance is well formed: ``ChannelUri.parse(str(uri)) == uri``.

    :ivar text: as it was parsed, to the byte, for labels and messages; ``None`` if it was built.
    """

    media: Media
    parameters: tuple[tuple[str, str], ...] = ()
    is_spy: bool = False
    text: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for key, value in self.parameters:
            if not key:
                raise _invalid("empty key not allowed")
            if "|" in key or "=" in key:
                raise _invalid(f"invalid end of key: {_shown(key)}")
            if not value:
                raise _invalid(f"empty value not allowed: {key}")
            if "|" in value:
                raise _invalid(f"a value cannot contain '|': {key}={value}")
        keys = [key for key, _ in self.parameters]
        if len(set(keys)) != len(keys):
            raise _invalid(f"keys given more than once: {', '.join(sorted({k for k in keys if keys.count(k) > 1}))}")
        text = str(self)
        if _FORBIDDEN.search(text):
            raise _invalid(f"control characters are not allowed in a channel: {_shown(text)}")
        length = len(text.encode())
        if length > MAX_URI_LENGTH:
            raise _too_long(length, text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a channel.

        :raises ChannelError: INVALID_CHANNEL.
        """
        # Before anything is split: the work done on a hostile text stays bounded, and repeats count towards its length.
        length = len(text.encode("utf-8", "surrogatepass"))
        if length > MAX_URI_LENGTH:
            raise _too_long(length, text)
        is_spy = text.startswith(_SPY_PREFIX)
        scheme, _, rest = text.removeprefix(_SPY_PREFIX).partition(_SCHEME)
        media, has_parameters, query = rest.partition("?")
        # A UDP channel without "?" has no address, and the native driver does not take it for one.
        if scheme or media not in tuple(Media) or (media == Media.UDP and not has_parameters):
            raise _invalid(f"invalid URI scheme or transport: {_shown(text)}")
        return cls(Media(media), tuple(_split(query).items()) if has_parameters else (), is_spy, text)

    @classmethod
    def udp(cls, endpoint: str | None = None, **parameters: str | int | bool) -> Self:
        """Build a UDP channel: ``ChannelUri.udp("224.20.30.39:54326", interface="localhost", term_length=65536)``.

        :param parameters: keys are written with underscores for hyphens.
        :raises ChannelError: if the text would not be a channel.
        """
        return cls(Media.UDP).with_parameters(**({} if endpoint is None else {"endpoint": endpoint}), **parameters)

    @classmethod
    def ipc(cls, **parameters: str | int | bool) -> Self:
        """Build an IPC channel; parameters as for :meth:`udp`."""
        return cls(Media.IPC).with_parameters(**parameters)

    def with_parameters(self, **parameters: str | int | bool) -> Self:
        """Return this channel with parameters added or replaced; keys are written with underscores for hyphens."""
        merged = dict(self.parameters)
        for name, value in parameters.items():
            merged[name.replace("_", "-")] = str(value).lower() if isinstance(value, bool) else str(value)
        return replace(self, parameters=tuple(merged.items()), text=None)

    def without(self, key: str) -> Self:
        """Return this channel without a parameter, which need not be there."""
        return replace(self, parameters=tuple(pair for pair in self.parameters if pair[0] != key), text=None)

    def get(self, key: str) -> str | None:
        """Return the value of a parameter, ``None`` if it is not given."""
        return next((value for name, value in self.parameters if name == key), None)

    def __str__(self) -> str:
        if self.text is not None:
            return self.text
        prefix = _SPY_PREFIX if self.is_spy else ""
        # An empty UDP channel keeps its "?", see parse().
        query = "?" if self.parameters or self.media is Media.UDP else ""
        return f"{prefix}{_SCHEME}{self.media}{query}" + "|".join(f"{key}={value}" for key, value in self.parameters)


def _split(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for parameter in query.split("|") if query else ():
        key, equals, value = parameter.partition("=")
        if not key:
            raise _invalid("empty key not allowed")
        if not equals:
            raise _invalid(f"invalid end of key: {_shown(key)}")
        if key not in parameters or key in _LAST_COUNTS:
            parameters[key] = value
        if not value:
            raise _invalid(f"empty value not allowed: {_shown(key)}")
    return parameters
