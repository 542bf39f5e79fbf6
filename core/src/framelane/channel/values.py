"""Values of channel parameters (wire 5.1)."""

from __future__ import annotations

import re

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri

__all__ = [
    "INT32_MAX",
    "INT64_MAX",
    "bool_of",
    "duration_of",
    "int32_of",
    "int64_of",
    "parse_duration",
    "parse_integer",
    "size_of",
    "unparsable",
]

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_SIZE = re.compile(r"([0-9]+)([kKmMgG]?)")
_SIZE_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_DURATION = re.compile(r"([0-9]+)(ns|us|ms|s|)", re.IGNORECASE)
_DURATION_UNITS = {"": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
# As strtoll with base 0 reads them: decimal, 0x hexadecimal, 0 octal.
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))")


def unparsable(key: str, value: str) -> ChannelError:
    """Return the error for a value that does not have its kind's syntax (shm 9.3)."""
    return ChannelError(ErrorCode.GENERIC_ERROR, f"could not parse {key}={value} in URI")


def size_of(uri: ChannelUri, key: str, limit: int = INT64_MAX) -> int | None:
    """Return a length in bytes, ``None`` if it is not given.

    :param limit: the largest value that its place can hold; the meaning's own limits are checked where it is used.
    :raises ChannelError: GENERIC_ERROR.
    """
    value = uri.get(key)
    if value is None:
        return None
    match = _SIZE.fullmatch(value)
    size = int(match[1]) * _SIZE_UNITS[match[2].lower()] if match else limit + 1
    if size > limit:
        raise unparsable(key, value)
    return size


def duration_of(uri: ChannelUri, key: str) -> int | None:
    """Return a duration in nanoseconds, at most 2^63-1; ``None`` if it is not given.

    :raises ChannelError: GENERIC_ERROR.
    """
    value = uri.get(key)
    if value is None:
        return None
    duration = parse_duration(value)
    if duration is None:
        raise unparsable(key, value)
    return duration


def parse_duration(text: str) -> int | None:
    """Return nanoseconds, at most 2^63-1; ``None`` if the text is no duration."""
    match = _DURATION.fullmatch(text)
    return min(int(match[1]) * _DURATION_UNITS[match[2].lower()], INT64_MAX) if match else None


def bool_of(uri: ChannelUri, key: str, default: bool) -> bool:
    """Return a truth value.

    :raises ChannelError: GENERIC_ERROR.
    """
    value = uri.get(key)
    if value is None:
        return default
    if value not in ("true", "false"):
        raise unparsable(key, value)
    return value == "true"


def int32_of(uri: ChannelUri, key: str) -> int | None:
    """Return a signed 32-bit number, ``None`` if it is not given.

    :raises ChannelError: GENERIC_ERROR.
    """
    return _integer_of(uri, key, 31)


def int64_of(uri: ChannelUri, key: str) -> int | None:
    """Return a signed 64-bit number, ``None`` if it is not given.

    :raises ChannelError: GENERIC_ERROR.
    """
    return _integer_of(uri, key, 63)


def parse_integer(text: str, bits: int) -> int | None:
    """Return a number in ``[-2**bits, 2**bits)``; ``None`` if the text is not one."""
    match = _INTEGER.fullmatch(text)
    if not match:
        return None
    sign, hexadecimal, octal, decimal = match.groups()
    if hexadecimal is not None:
        magnitude = int(hexadecimal, 16)
    elif octal is not None:
        magnitude = int(octal or "0", 8)
    else:
        magnitude = int(decimal)
    number = -magnitude if sign == "-" else magnitude
    return number if -(2**bits) <= number < 2**bits else None


def _integer_of(uri: ChannelUri, key: str, bits: int) -> int | None:
    value = uri.get(key)
    if value is None:
        return None
    number = parse_integer(value, bits)
    if number is None:
        raise unparsable(key, value)
    return number
