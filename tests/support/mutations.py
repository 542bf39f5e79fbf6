"""Datagrams that an attacker sends to live streams: mutations of the wire vectors, and what must become of them.

What is generated here is judged first, by rules of its own from wire 3.6.1, 3.7, 4.5 and 9.1, and only what a driver
has to drop is sent. Left out is what nobody can tell from the real thing, for Aeron has no authentication (wire 9.2
item 10): data, setups and heartbeats that fit the receiver's window, status messages within half a term of the sender's
position, those that ask for a setup, and NAKs of what the sender may still send again. A driver takes them, whoever
sent them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

__all__ = ["Live", "Mutator"]

_VECTORS = Path(__file__).parents[1] / "vectors" / "wire-frames.json"
_HEADER = struct.Struct("<ibBh")
_I32 = struct.Struct("<i")
PAD, DATA, NAK, SM, ERR, SETUP, RTTM, RES, RSP_SETUP = 0, 1, 2, 3, 4, 5, 6, 7, 11
#: Where session and stream stand, by type.
_IDS = {PAD: (12, 16), DATA: (12, 16), SETUP: (12, 16), RTTM: (8, 12), NAK: (8, 12), SM: (8, 12), ERR: (8, 12)}
_SHORTEST = {PAD: 32, DATA: 32, NAK: 28, SM: 36, ERR: 40, SETUP: 40, RTTM: 40, RES: 8, RSP_SETUP: 20}
_SM_SEND_SETUP, _RTTM_REPLY = 0x80, 0x80
#: A stream of a few MB a second does not get so far while an attacker waits for its processor.
_FAR_TERMS = 64
_EDGES = (0, 1, -1, 31, 32, 33, 63, 64, 2**31 - 1, -(2**31), 65535, 65536, 2**24, 2**30, 0x0B, 1408, -32)


@dataclass(frozen=True)
class Live:
    """A stream that an attack is aimed at.

    :ivar position: up to here everything was received; it only grows.
    """

    session_id: int
    stream_id: int
    initial_term_id: int
    term_length: int
    position: int


class Mutator:
    """Makes datagrams for one side: a receive endpoint, or the send endpoint of a publication.

    :param receives: the target is a receive endpoint.
    """

    def __init__(self, seed: int, *, receives: bool) -> None:
        self._random = Random(seed)
        self._receives = receives
        vectors = json.loads(_VECTORS.read_text())["vectors"]
        self._seeds = [bytes.fromhex(vector["hex"]) for vector in vectors]
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._set_edge,
            self._set_edge,
            self._flip_bit,
            self._truncate,
            self._extend,
            self._set_type,
            self._overwrite,
        )

    def datagrams(self, live: Live, count: int) -> list[bytes]:
        """Return so many datagrams that the target must drop: three in four mutate a vector that was addressed to the
        live stream, the others are random bytes."""
        made: list[bytes] = []
        while len(made) < count:
            datagram = self._mutated(live) if self._random.random() < 0.75 else self._noise()
            if self._must_drop(datagram, live):
                made.append(datagram)
        return made

    def _noise(self) -> bytes:
        return self._random.randbytes(self._random.choice((1, 7, 8, 20, 28, 32, 36, 40, 64, 200, 1408)))

    def _mutated(self, live: Live) -> bytes:
        datagram = bytearray(self._random.choice(self._seeds))
        self._address(datagram, live)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 4))):
            if datagram:
                self._random.choice(self._ways)(datagram)
        return bytes(datagram)

    def _address(self, datagram: bytearray, live: Live) -> None:
        """Make a vector speak of the live stream."""
        frame_type = _HEADER.unpack_from(datagram)[3]
        if frame_type in _IDS and len(datagram) >= 24:
            session_at, stream_at = _IDS[frame_type]
            _I32.pack_into(datagram, session_at, live.session_id)
            _I32.pack_into(datagram, stream_at, live.stream_id)
        if frame_type in (DATA, PAD) and len(datagram) >= 32:
            far = live.position + 2 * _FAR_TERMS * live.term_length
            position = self._random.choice((0, live.position, live.position - 64, far))
            term_count, offset = divmod(max(0, position) // 32 * 32, live.term_length)
            _I32.pack_into(datagram, 8, offset)
            _I32.pack_into(datagram, 20, _wrap(live.initial_term_id + term_count))
        if frame_type in (NAK, SM) and len(datagram) >= 28:
            self._ask(datagram, live)

    def _ask(self, datagram: bytearray, live: Live) -> None:
        """Give a NAK or a status message of the live stream a place and an amount: term id, offset and length or window
        stand in the same words of both."""
        random, term_length = self._random, live.term_length
        term_count, offset = random.choice(
            (
                divmod(live.position // 32 * 32, term_length),  # what is sent next
                divmod(max(0, live.position - term_length) // 32 * 32, term_length),  # sent and gone
                divmod(live.position // 32 * 32 + 2 * _FAR_TERMS * term_length, term_length),
                (live.position // term_length, random.choice((-32, term_length, 2**31 - 32, -(2**31), 33))),
                (-1, term_length - 32),  # before the first term
                (2**31 - 1, term_length - 32),  # the last position there could ever be
                (-(2**31), 0),
            )
        )
        window = term_length // 2
        amounts = (0, 1, -1, -32, -(2**31), 2**31 - 1, 1408, window, window + 1, term_length - offset, term_length + 32)
        term_id = _wrap(live.initial_term_id + term_count)
        struct.pack_into("<iii", datagram, 16, term_id, _wrap(offset), _wrap(random.choice(amounts)))

    # ---- ways to mutate ----

    def _set_edge(self, datagram: bytearray) -> None:
        if len(datagram) >= 4:
            at = self._random.randrange(0, len(datagram) // 4) * 4
            _I32.pack_into(datagram, at, self._random.choice(_EDGES))

    def _flip_bit(self, datagram: bytearray) -> None:
        datagram[self._random.randrange(len(datagram))] ^= 1 << self._random.randrange(8)

    def _truncate(self, datagram: bytearray) -> None:
        del datagram[self._random.randrange(len(datagram)) + 1 :]

    def _extend(self, datagram: bytearray) -> None:
        datagram += self._random.randbytes(self._random.choice((1, 4, 32, 1000)))

    def _set_type(self, datagram: bytearray) -> None:
        if len(datagram) >= 8:
            struct.pack_into("<h", datagram, 6, self._random.choice((*_SHORTEST, 8, 9, 10, 12, -1, 0x7FFF)))

    def _overwrite(self, datagram: bytearray) -> None:
        at = self._random.randrange(len(datagram))
        piece = self._random.randbytes(self._random.randint(1, 8))
        datagram[at : at + len(piece)] = piece

    # ---- what must become of it ----

    def _must_drop(self, datagram: bytes, live: Live) -> bool:
        """Whether a driver that follows wire 9.1 drops a datagram, whatever else it does now."""
        if len(datagram) < 8:
            return True
        frame_length, version, _, frame_type = _HEADER.unpack_from(datagram)
        if version != 0 or frame_type not in _SHORTEST or frame_length < 0 or len(datagram) < _SHORTEST[frame_type]:
            return True
        if frame_type not in (PAD, DATA) and frame_length > len(datagram):
            return True
        if self._receives:
            return frame_type not in (PAD, DATA, SETUP, RTTM) or self._must_drop_at_receiver(frame_type, datagram, live)
        return frame_type not in (NAK, SM, ERR, RTTM) or self._must_drop_at_sender(frame_type, datagram, live)

    @staticmethod
    def _must_drop_at_sender(frame_type: int, datagram: bytes, live: Live) -> bool:
        if struct.unpack_from("<ii", datagram, 8) != (live.session_id, live.stream_id):
            return True
        frame_length, _, flags, _ = _HEADER.unpack_from(datagram)
        if frame_type == RTTM:
            return not flags & _RTTM_REPLY  # the answer to a question that this driver never asks
        if frame_type == ERR:
            (text_length,) = _I32.unpack_from(datagram, 36)
            return not 0 <= text_length <= 1023 or 40 + text_length > frame_length
        term_id, offset, amount = struct.unpack_from("<iii", datagram, 16)
        if not 0 <= offset < live.term_length or offset % 32 or amount < 0:
            return True
        position = _wrap(term_id - live.initial_term_id) * live.term_length + offset
        is_far = position < 0 or position > live.position + _FAR_TERMS * live.term_length
        if frame_type == SM:
            is_refused = is_far or position < live.position - live.term_length // 2
            return amount > live.term_length // 2 or (not flags & _SM_SEND_SETUP and is_refused)
        is_gone = position < live.position - live.term_length // 2 - live.term_length // 8
        return amount == 0 or amount > live.term_length - offset or is_far or is_gone

    @staticmethod
    def _must_drop_at_receiver(frame_type: int, datagram: bytes, live: Live) -> bool:
        if frame_type == RTTM:
            return struct.unpack_from("<ii", datagram, 8) != (live.session_id, live.stream_id)
        ours = struct.unpack_from("<ii", datagram, 12) == (live.session_id, live.stream_id)
        if frame_type == SETUP:
            return not ours and struct.unpack_from("<i", datagram, 16)[0] != live.stream_id
        if not ours:
            return True
        if len(datagram) % 32:
            return True
        term_offset, term_id = _I32.unpack_from(datagram, 8)[0], _I32.unpack_from(datagram, 20)[0]
        term_count = _wrap(term_id - live.initial_term_id)
        if term_count < 0 or term_offset % 32 or not 0 <= term_offset < live.term_length:
            return True
        position = term_count * live.term_length + term_offset
        frame_length = _I32.unpack_from(datagram)[0]
        is_heartbeat = frame_length == 0
        # Beyond every window, or wholly behind: an over-run, an under-run or a duplicate.
        is_far = position > live.position + _FAR_TERMS * live.term_length
        is_old = not is_heartbeat and position < live.position - live.term_length // 2
        return is_far or is_old


def _wrap(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31
