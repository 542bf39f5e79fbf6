"""How messages are laid out: fixed fields one after another, and texts with their length in front.

A message is a frozen dataclass whose fields say their type with :func:`i32`, :func:`i64`, :func:`text` and so on. A
field that follows a text begins at a multiple of 4 (shm 8.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

__all__ = ["Message", "MessageError", "TextTooLongError", "data", "fixed", "i16", "i32", "i64", "text", "u16", "u64"]

_LENGTH = struct.Struct("<i")
#: Texts are treated as ASCII; other bytes survive a round trip.
_ENCODING = ("ascii", "surrogateescape")


class MessageError(ValueError):
    """The bytes are not the message that they are said to be."""


class TextTooLongError(MessageError):
    """A text is there in full and longer than its field takes."""


@dataclass(frozen=True)
class _Fixed:
    packing: struct.Struct


@dataclass(frozen=True)
class _Variable:
    is_text: bool
    longest: int


def _fixed(code: str, default: int | None) -> Any:
    kind = {"layout": _Fixed(struct.Struct("<" + code))}
    return field(metadata=kind) if default is None else field(default=default, metadata=kind)


def i16(default: int | None = None) -> Any:
    """A field of 16 bits, signed."""
    return _fixed("h", default)


def u16(default: int | None = None) -> Any:
    """A field of 16 bits, unsigned."""
    return _fixed("H", default)


def i32(default: int | None = None) -> Any:
    """A field of 32 bits, signed."""
    return _fixed("i", default)


def i64(default: int | None = None) -> Any:
    """A field of 64 bits, signed."""
    return _fixed("q", default)


def u64(default: int | None = None) -> Any:
    """A field of 64 bits, unsigned."""
    return _fixed("Q", default)


def fixed(length: int) -> Any:
    """A field of so many bytes; shorter values are filled with zeros."""
    return _fixed(f"{length}s", None)


def text(longest: int = 2**31 - 1) -> Any:
    """A length of 32 bits and so many bytes of text."""
    return field(metadata={"layout": _Variable(is_text=True, longest=longest)})


def data(longest: int = 2**31 - 1) -> Any:
    """A length of 32 bits and so many bytes."""
    return field(metadata={"layout": _Variable(is_text=False, longest=longest)})


_Layout = tuple[tuple[str, _Fixed | _Variable], ...]
_layouts: dict[type, _Layout] = {}


def _layout(message: type[Message]) -> _Layout:
    layout = _layouts.get(message)
    if layout is None:
        layout = _layouts[message] = tuple((f.name, f.metadata["layout"]) for f in fields(message))
    return layout


def _gap(layout: _Fixed | _Variable, at: int) -> int:
    """Bytes of padding before a field; only what is shorter than 4 bytes may stand between multiples of 4."""
    is_short = isinstance(layout, _Fixed) and layout.packing.size < 4
    return 0 if is_short else -at % 4


@dataclass(frozen=True)
class Message:
    """Base of commands and events."""

    #: Shortest encoding; what is missing is filled with zeros.
    SHORTEST: ClassVar[int] = 0

    def encode(self) -> bytes:
        """Return the message's body.

        :raises struct.error: if a value does not fit its field.
        :raises ValueError: if a text is too long.
        """
        body = bytearray()
        for name, layout in _layout(type(self)):
            value = getattr(self, name)
            body += bytes(_gap(layout, len(body)))
            if isinstance(layout, _Fixed):
                body += layout.packing.pack(value)
                continue
            encoded = value.encode(*_ENCODING) if layout.is_text else value
            if len(encoded) > layout.longest:
                raise ValueError(f"{type(self).__name__}.{name} takes {len(encoded)} bytes, at most {layout.longest}")
            body += _LENGTH.pack(len(encoded)) + encoded
        return bytes(body) + bytes(max(0, self.SHORTEST - len(body)))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the message whose body begins with these bytes; more bytes may follow.

        :raises MessageError: if the body is too short for its fixed part or for a text, or a length is out of range.
        """
        values: list[object] = []
        at = 0
        for name, layout in _layout(cls):
            packing = layout.packing if isinstance(layout, _Fixed) else _LENGTH
            at += _gap(layout, at)
            if at + packing.size > len(body):
                raise MessageError(f"too short: length={len(body)}")
            (value,) = packing.unpack_from(body, at)
            at += packing.size
            if isinstance(layout, _Variable):
                wrong = f"{name} has a length of {value}, not 0 to {layout.longest}"
                if value < 0:
                    raise MessageError(wrong)
                if at + value > len(body):
                    raise MessageError(f"too short: length={len(body)}")
                if value > layout.longest:
                    raise TextTooLongError(wrong)
                content = bytes(body[at : at + value])
                at += value
                values.append(content.decode(*_ENCODING) if layout.is_text else content)
            else:
                values.append(value)
        return cls(*values)
