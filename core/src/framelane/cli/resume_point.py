"""Where a subscriber that writes a file has got to, kept beside the file.

Two slots are written in turn, each with a sequence number and a checksum, so that a process which is killed in the
middle of a write leaves the other one. The order that makes a restart exact: the file's bytes are written, then the
point, and only then does the driver learn that the bytes were consumed. So the point is never behind the position from
which the driver delivers again, and what it delivers twice is skipped. What the file itself tells when the driver does
not deliver again, ``file_writer`` says.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from framelane.errors import FramelaneError

__all__ = ["PointFile", "ResumePoint", "point_path"]

_SLOT_LENGTH = 65536
_SLOT = struct.Struct("<II")


@dataclass
class ResumePoint:
    """What of a stream is in the file."""

    session_id: int
    position: int  #: stream position behind the last fragment in the file
    offset: int = 0  #: where the next byte goes
    length: int = -1  #: of the file that is sent, -1: not known
    is_file: bool | None = None  #: a file with the framing of file_format; ``None``: nothing came yet
    is_inside: bool = False  #: the next fragment goes on with a message whose beginning is in the file
    missing: list[list[int]] = field(default_factory=list)  #: ranges [begin, end) that never came
    gaps: list[list[int]] = field(default_factory=list)  #: ranges of stream positions that never came
    name: str = ""


def point_path(output: Path) -> Path:
    """Return where the point of an output file is kept."""
    return output.with_name(output.name + ".resume")


class PointFile:
    """The slots."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._sequence = 0

    def load(self) -> ResumePoint | None:
        """Return the latest point that was written whole; ``None`` if there is none.

        :raises FramelaneError: if the file holds something else.
        """
        latest: ResumePoint | None = None
        for slot in (0, 1):
            content = os.pread(self._descriptor, _SLOT_LENGTH, slot * _SLOT_LENGTH)
            if len(content) < _SLOT.size:
                continue
            checksum, length = _SLOT.unpack_from(content)
            text = content[_SLOT.size : _SLOT.size + length]
            if len(text) != length or not length or zlib.crc32(text) != checksum:
                continue
            try:
                values = json.loads(text)
                sequence = values.pop("sequence")
                point = ResumePoint(**values)
            except (ValueError, TypeError, KeyError) as error:
                raise FramelaneError(f"{self.path} is of another version: {error}; remove it to start anew") from error
            if sequence > self._sequence:
                self._sequence, latest = sequence, point
        return latest

    def store(self, point: ResumePoint) -> None:
        """Write a point into the slot that does not hold the latest one."""
        self._sequence += 1
        text = json.dumps({"sequence": self._sequence, **asdict(point)}).encode()
        if len(text) > _SLOT_LENGTH - _SLOT.size:
            raise FramelaneError(f"{self.path}: too many missing ranges to note: {len(point.missing)}")
        os.pwrite(self._descriptor, _SLOT.pack(zlib.crc32(text), len(text)) + text, (self._sequence & 1) * _SLOT_LENGTH)

    def remove(self) -> None:
        """The stream is complete: there is nothing to resume."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)
