"""What is known of a message besides its bytes."""

from __future__ import annotations

from typing import NamedTuple

from framelane.client.image import Image

__all__ = ["BEGIN_FLAG", "END_FLAG", "Header", "align"]

BEGIN_FLAG = 0x80
END_FLAG = 0x40
_HEADER_LENGTH = 32


def align(length: int) -> int:
    """Return a length rounded up to whole frame alignments."""
    return -(-length // 32) * 32


class Header(NamedTuple):
    """Of a fragment, or of a whole message."""

    position: int  #: stream position behind it
    length: int  #: payload bytes
    flags: int
    session_id: int
    stream_id: int
    reserved_value: int
    image: Image

    @property
    def term_id(self) -> int:
        """Of the fragment."""
        image = self.image
        count = (self.position - 1) // image.term_buffer_length
        return (image.initial_term_id + count + 2**31) % 2**32 - 2**31

    @property
    def term_offset(self) -> int:
        """Of the fragment; for a message of several fragments, that of the last one is not known."""
        begin = self.position - align(self.length + _HEADER_LENGTH)
        return begin % self.image.term_buffer_length
