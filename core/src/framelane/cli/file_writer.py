"""Writing what a subscription delivers into a file, from fragment to byte.

The file of a stream with the framing of ``file_format`` tells itself which bytes a process that was killed had written
behind its last point. They are appended, so SIGKILL leaves a beginning of them and the file's size says how long it is:
the page cache outlives the process, and a write that is killed half-way has written what the size covers. A hole is
noted in the point before anything is written behind it. So ``[point.offset, size)`` is in the file, always, and what is
reported as missing is what is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from framelane.cli.file_format import HEADER_LENGTH, Kind, parse
from framelane.cli.resume_point import PointFile, ResumePoint, point_path
from framelane.client.header import BEGIN_FLAG, END_FLAG, Header, align
from framelane.client.image import Image
from framelane.client.subscription import Batch
from framelane.errors import FramelaneError

__all__ = ["FileWriter"]

_CHUNK_LENGTH = 1 << 20
_MOST_PARTS = 512


class FileWriter:
    """Takes the fragments of one session. Anything but a file with the framing of ``file_format`` is written as it
    comes, one message's bytes behind the other's.

    :ivar point: where it has got to; ``None`` before the first session is chosen.
    :ivar is_complete: END came.
    :ivar image: the one that the last fragments came from.
    :ivar messages: how many were written by this process.
    """

    def __init__(self, output: Path, *, resume: bool) -> None:
        """Open the output; without a point to resume from it is truncated."""
        self.output = output
        self.is_complete = False
        self.is_intact: bool | None = None  #: does the SHA-256 match? ``None``: not known
        self.messages = 0
        self.point: ResumePoint | None = None
        self._points = PointFile(point_path(output)) if resume else None
        if self._points is not None:
            self.point = self._points.load()
        is_anew = self.point is None
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if is_anew else 0)
        self._descriptor = os.open(output, flags, 0o666)
        self._size = os.fstat(self._descriptor).st_size
        self._hash: hashlib._Hash | None = hashlib.sha256()
        self.image: Image | None = None
        self._parts: list[memoryview] = []
        self._parts_offset = 0
        self._parts_length = 0
        self.is_resumed = not is_anew

    def prepare(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Read again what was written before, for the SHA-256.

        :raises FramelaneError: if the file is shorter than the point says.
        """
        point = self.point
        if point is None:
            return
        written = point.offset
        if point.missing and point.missing[-1][1] == point.offset:
            written = point.missing[-1][0]  # the hole was noted, and perhaps nothing written behind it
        if self._size < written:
            raise FramelaneError(
                f"{self.output} has {self._size} bytes, but {point_path(self.output)} says {written}; the file was "
                "changed: remove both to start anew"
            )
        if not point.is_file:  # nothing tells which positions the bytes behind the point are of: they are missing
            os.ftruncate(self._descriptor, point.offset)
            self._size = point.offset
        if point.missing or not point.is_file:
            self._hash = None
        self._hash_again(0, point.offset, progress)

    def _hash_again(self, begin: int, end: int, progress: Callable[[int, int], None]) -> None:
        """Read bytes that are in the file into the SHA-256."""
        done = begin
        while self._hash is not None and done < end:
            chunk = os.pread(self._descriptor, min(_CHUNK_LENGTH, end - done), done)
            if not chunk:
                raise FramelaneError(f"{self.output} became shorter than {end} bytes while it was read")
            self._hash.update(chunk)
            done += len(chunk)
            progress(done, end)

    def take(self, batch: Batch) -> bool:
        """Write a batch of fragments, note the point, and let the driver know, in this order.

        :returns: whether any of it was of our session.
        """
        is_ours = False
        for data, header in batch.items():
            if self.point is None:
                self.point = ResumePoint(header.session_id, header.image.join_position)
            if header.session_id == self.point.session_id:
                if header.image is not self.image:
                    self._join(self.point, header.image)
                is_ours = True
                if header.position > self.point.position:
                    self._take(self.point, data, header)
            if self.is_complete:
                break
        self._flush()
        self._note()
        batch.release()
        return is_ours

    def _note(self) -> None:
        if self._points is not None and self.point is not None:
            self._points.store(self.point)

    def _join(self, point: ResumePoint, image: Image) -> None:
        """Note what was published between the point and where a new image begins: nobody has it any more."""
        self.image = image
        if image.join_position > point.position:
            point.gaps.append([point.position, image.join_position])
            point.position = image.join_position
            point.is_inside = False

    def _take(self, point: ResumePoint, data: memoryview, header: Header) -> None:
        begin = header.position - align(header.length + 32)
        if begin > point.position:
            point.is_inside = False  # messages do not span what lies in between: padding, or a gap
        if header.flags & BEGIN_FLAG:
            # The position stays before this fragment meanwhile: a point may be noted there.
            point.is_inside = self._begin_message(point, data)
        elif point.is_inside:
            self._write(point, data)
        elif point.gaps and point.gaps[-1][1] == begin:
            point.gaps[-1][1] = header.position  # the rest of a message whose beginning is lost
        point.position = header.position
        if header.flags & END_FLAG:
            point.is_inside = False
            self.messages += 1

    def _begin_message(self, point: ResumePoint, data: memoryview) -> bool:
        """Take the first fragment of a message; returns whether further ones go on with it."""
        found = parse(data)
        if point.is_file is None:
            point.is_file = found is not None
            self._note()  # before the first byte: the file cannot say what it is of
        if found is None:
            if point.is_file:
                return False  # not of the file
            self._write(point, data)
            return True
        kind, number = found
        if kind is Kind.DATA:
            self._seek(point, number)
            self._write(point, data[HEADER_LENGTH:])
            return True
        point.length = number
        if kind is Kind.BEGIN:
            point.name = bytes(data[HEADER_LENGTH:]).decode(errors="replace")
            return False
        self._seek(point, number)
        self._flush()
        self.is_complete = True
        if self._hash is not None:
            self.is_intact = self._hash.digest() == bytes(data[HEADER_LENGTH:])
        return False

    def _seek(self, point: ResumePoint, offset: int) -> None:
        """Go on at another offset; what lies between never came, but for what a killed process wrote."""
        if offset == point.offset:
            return
        self._flush()
        begin = max(point.offset, self._size)
        if offset < point.offset:
            self._hash = None
        elif offset <= begin:
            self._hash_again(point.offset, offset, lambda _done, _total: None)
        else:
            self._hash = None
            if point.missing and point.missing[-1][1] == begin:
                point.missing[-1][1] = offset
            else:
                point.missing.append([begin, offset])
        point.offset = offset
        self._note()  # before anything is written behind the hole

    def _write(self, point: ResumePoint, data: memoryview) -> None:
        if not self._parts:
            self._parts_offset = point.offset
        self._parts.append(data)
        self._parts_length += len(data)
        point.offset += len(data)
        if len(self._parts) == _MOST_PARTS:
            self._flush()

    def _flush(self) -> None:
        """Write the parts gathered so far, straight from the log."""
        if not self._parts:
            return
        if self._hash is not None:
            for part in self._parts:
                self._hash.update(part)
        written = os.pwritev(self._descriptor, self._parts, self._parts_offset)
        if written < self._parts_length:  # a full disk raises the next time
            rest = memoryview(b"".join(self._parts))
            while written < self._parts_length:
                written += os.pwrite(self._descriptor, rest[written:], self._parts_offset + written)
        self._size = max(self._size, self._parts_offset + self._parts_length)
        self._parts = []
        self._parts_length = 0

    def missing_ranges(self) -> list[list[int]]:
        """Return the ranges [begin, end) of the file that are not there; the last one is open, [begin, -1], if the
        length is not known."""
        point = self.point
        if point is None:
            return [[0, -1]]
        if self.is_complete or not point.is_file:
            return list(point.missing)
        begin = max(point.offset, self._size)
        if 0 <= point.length <= begin:
            return list(point.missing)
        if point.missing and point.missing[-1][1] == begin:
            return [*point.missing[:-1], [point.missing[-1][0], point.length]]
        return [*point.missing, [begin, point.length]]

    def close(self) -> None:
        """Close the file. A point stays unless the stream is complete."""
        os.close(self._descriptor)
        if self._points is not None:
            if self.is_complete:
                self._points.remove()
            self._points.close()
