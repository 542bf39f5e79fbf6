"""How a file travels over a stream, so that the receiver knows when it has all of it.

A stream of one session carries, in this order, one BEGIN, DATA messages with the file's bytes from the first to the
last, and one END. Each begins with 16 bytes, little-endian:

====== ======= =======================================================
offset type    field
====== ======= =======================================================
0      4 bytes ``FLFS``
4      u8      version, 1
5      u8      kind: 1 BEGIN, 2 DATA, 3 END
6      u16     0
8      u64     BEGIN, END: length of the file; DATA: offset of the bytes that follow
====== ======= =======================================================

BEGIN goes on with the file's name in UTF-8, without directories, at most 255 bytes. END goes on with the SHA-256 of the
whole file, 32 bytes. BEGIN and END fit into one frame. DATA may be fragmented: a receiver that joins in the middle
begins with the next DATA message, and knows from its offset which bytes it lacks.
"""

from __future__ import annotations

import enum
import struct

__all__ = ["HEADER_LENGTH", "Kind", "MAX_NAME_LENGTH", "MIN_PAYLOAD_LENGTH", "begin", "data_header", "end", "parse"]

_HEADER = struct.Struct("<4sBBHQ")
_MAGIC = b"FLFS"
_VERSION = 1
HEADER_LENGTH = _HEADER.size
MAX_NAME_LENGTH = 255
#: Shortest payload of a frame that BEGIN and END always fit into.
MIN_PAYLOAD_LENGTH = HEADER_LENGTH + MAX_NAME_LENGTH + 1


class Kind(enum.IntEnum):
    """Kinds of messages."""

    BEGIN = 1
    DATA = 2
    END = 3


def begin(length: int, name: str) -> bytes:
    """Return the first message; a long name is cut."""
    text = name.encode(errors="replace")[:MAX_NAME_LENGTH]
    return _HEADER.pack(_MAGIC, _VERSION, Kind.BEGIN, 0, length) + text


def data_header(offset: int) -> bytes:
    """Return what stands before the bytes from an offset on."""
    return _HEADER.pack(_MAGIC, _VERSION, Kind.DATA, 0, offset)


def end(length: int, sha256: bytes) -> bytes:
    """Return the last message."""
    return _HEADER.pack(_MAGIC, _VERSION, Kind.END, 0, length) + sha256


def parse(message: memoryview) -> tuple[Kind, int] | None:
    """Return kind and number of the message that begins with these bytes; ``None`` if it is none of these."""
    if len(message) < HEADER_LENGTH:
        return None
    magic, version, kind, _, number = _HEADER.unpack_from(message)
    if magic != _MAGIC or version != _VERSION or kind not in Kind.__members__.values() or number >= 2**63:
        return None
    return Kind(kind), number
