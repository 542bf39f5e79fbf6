"""Wire frames, for tools and tests; the driver's agents have them in C (wire 2)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar

from framelane.errors import FramelaneError
from framelane.protocol.codec import i32, i64

__all__ = [
    "DATA_HEADER_LENGTH",
    "DataFlag",
    "DataFrame",
    "ErrFrame",
    "Frame",
    "FrameError",
    "FrameType",
    "NakFrame",
    "ResEntry",
    "ResFrame",
    "RspSetupFrame",
    "RttmFrame",
    "SetupFrame",
    "StatusMessage",
    "decode_datagram",
    "encode_datagram",
]

DATA_HEADER_LENGTH = 32
_ALIGNMENT = 32
_HEADER = struct.Struct("<ibBh")
_RES_HEADER = struct.Struct("<bBHi")


class FrameType(enum.IntEnum):
    """Type ids (wire 2.1)."""

    PAD = 0x0000
    DATA = 0x0001
    NAK = 0x0002
    SM = 0x0003
    ERR = 0x0004
    SETUP = 0x0005
    RTTM = 0x0006
    RES = 0x0007
    RSP_SETUP = 0x000B


class DataFlag(enum.IntFlag):
    """Flags of DATA and PAD frames."""

    BEGIN = 0x80
    END = 0x40
    EOS = 0x20
    REVOKED = 0x10


ERR_HAS_GROUP_TAG = 0x08


class FrameError(FramelaneError):
    """The bytes are not frames."""


@dataclass(frozen=True)
class Frame:
    """Base of all frames; the header's length, version and type follow from the rest."""

    TYPE: ClassVar[FrameType]

    flags: int


@dataclass(frozen=True)
class DataFrame(Frame):
    """A DATA frame or, with type ``PAD``, the header of a padding frame.

    :ivar frame_length: 0 for a heartbeat; of a PAD the whole extent, of which only the header is sent.
    """

    TYPE = FrameType.DATA

    frame_length: int
    type: FrameType
    term_offset: int
    session_id: int
    stream_id: int
    term_id: int
    reserved_value: int = 0
    payload: bytes = b""

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<ibBhiiiiq")

    def encode(self) -> bytes:
        """Return header and payload, filled up to a multiple of 32 bytes."""
        header = self._LAYOUT.pack(
            self.frame_length,
            0,
            self.flags,
            self.type,
            self.term_offset,
            self.session_id,
            self.stream_id,
            self.term_id,
            self.reserved_value,
        )
        return header + self.payload + bytes(-len(self.payload) % _ALIGNMENT)


@dataclass(frozen=True)
class _ControlFrame(Frame):
    """A frame of fixed fields, alone in its datagram."""

    def encode(self) -> bytes:
        layout = _layout(type(self))
        body = layout.pack(*(getattr(self, f.name) for f in fields(self) if "layout" in f.metadata)) + self._tail()
        return _HEADER.pack(_HEADER.size + len(body), 0, self.flags, self.TYPE) + body

    def _tail(self) -> bytes:
        return b""


_layouts: dict[type, struct.Struct] = {}


def _layout(frame: type[_ControlFrame]) -> struct.Struct:
    layout = _layouts.get(frame)
    if layout is None:
        codes = [f.metadata["layout"].packing.format for f in fields(frame) if "layout" in f.metadata]
        layout = _layouts[frame] = struct.Struct("<" + "".join(code.removeprefix("<") for code in codes))
    return layout


@dataclass(frozen=True)
class SetupFrame(_ControlFrame):
    TYPE = FrameType.SETUP

    term_offset: int = i32()
    session_id: int = i32()
    stream_id: int = i32()
    initial_term_id: int = i32()
    active_term_id: int = i32()
    term_length: int = i32()
    mtu: int = i32()
    ttl: int = i32()


@dataclass(frozen=True)
class StatusMessage(_ControlFrame):
    TYPE = FrameType.SM

    session_id: int = i32()
    stream_id: int = i32()
    consumption_term_id: int = i32()
    consumption_term_offset: int = i32()
    receiver_window: int = i32()
    receiver_id: int = i64()
    group_tag: int | None = None

    def _tail(self) -> bytes:
        return b"" if self.group_tag is None else struct.pack("<q", self.group_tag)


@dataclass(frozen=True)
class NakFrame(_ControlFrame):
    TYPE = FrameType.NAK

    session_id: int = i32()
    stream_id: int = i32()
    term_id: int = i32()
    term_offset: int = i32()
    length: int = i32()


@dataclass(frozen=True)
class ErrFrame(_ControlFrame):
    """``group_tag`` means something only with flag 0x08."""

    TYPE = FrameType.ERR

    session_id: int = i32()
    stream_id: int = i32()
    receiver_id: int = i64()
    group_tag: int = i64()
    error_code: int = i32()
    error_text: bytes = b""

    def _tail(self) -> bytes:
        return struct.pack("<i", len(self.error_text)) + self.error_text


@dataclass(frozen=True)
class RttmFrame(_ControlFrame):
    TYPE = FrameType.RTTM

    session_id: int = i32()
    stream_id: int = i32()
    echo_timestamp: int = i64()
    reception_delta: int = i64()
    receiver_id: int = i64()


@dataclass(frozen=True)
class RspSetupFrame(_ControlFrame):
    TYPE = FrameType.RSP_SETUP

    session_id: int = i32()
    stream_id: int = i32()
    response_session_id: int = i32()


@dataclass(frozen=True)
class ResEntry:
    """One name and its address."""

    res_flags: int
    udp_port: int
    age_in_ms: int
    address: IPv4Address | IPv6Address
    name: bytes

    def encode(self) -> bytes:
        header = _RES_HEADER.pack(1 if self.address.version == 4 else 2, self.res_flags, self.udp_port, self.age_in_ms)
        entry = header + self.address.packed + struct.pack("<h", len(self.name)) + self.name
        return entry + bytes(-len(entry) % 8)


@dataclass(frozen=True)
class ResFrame(_ControlFrame):
    TYPE = FrameType.RES

    entries: tuple[ResEntry, ...] = ()

    def _tail(self) -> bytes:
        return b"".join(entry.encode() for entry in self.entries)


def encode_datagram(*frames: DataFrame | _ControlFrame) -> bytes:
    """Return the datagram that carries these frames."""
    return b"".join(frame.encode() for frame in frames)


def _decode_data(datagram: bytes) -> list[Frame]:
    frames: list[Frame] = []
    at = 0
    while at + DATA_HEADER_LENGTH <= len(datagram):
        length, _, flags, kind, offset, session, stream, term, reserved = DataFrame._LAYOUT.unpack_from(datagram, at)
        if kind not in (FrameType.DATA, FrameType.PAD):
            raise FrameError(f"type {kind} at byte {at} of a data datagram")
        is_data = kind == FrameType.DATA and length > DATA_HEADER_LENGTH
        payload = datagram[at + DATA_HEADER_LENGTH : at + length] if is_data else b""
        if is_data and len(payload) != length - DATA_HEADER_LENGTH:
            raise FrameError(f"a frame of {length} bytes at byte {at} of a datagram of {len(datagram)}")
        frames.append(DataFrame(flags, length, FrameType(kind), offset, session, stream, term, reserved, payload))
        if length < DATA_HEADER_LENGTH or kind == FrameType.PAD:
            break
        at += length + (-length % _ALIGNMENT)
    return frames


def _decode_res(flags: int, datagram: bytes) -> ResFrame:
    entries = []
    at = _HEADER.size
    while at < len(datagram):
        kind, res_flags, port, age = _RES_HEADER.unpack_from(datagram, at)
        if kind not in (1, 2):
            raise FrameError(f"resolution entry of type {kind} at byte {at}")
        name_at = at + _RES_HEADER.size + (4 if kind == 1 else 16)
        address = ip_address(datagram[at + _RES_HEADER.size : name_at])
        (name_length,) = struct.unpack_from("<h", datagram, name_at)
        end = name_at + 2 + name_length
        if name_length <= 0 or end > len(datagram):
            raise FrameError(f"resolution entry with a name of {name_length} bytes at byte {at}")
        entries.append(ResEntry(res_flags, port, age, address, datagram[name_at + 2 : end]))
        at = end + -(end - at) % 8
    return ResFrame(flags, tuple(entries))


_FIXED: dict[int, type[_ControlFrame]] = {
    frame.TYPE: frame for frame in (SetupFrame, StatusMessage, NakFrame, ErrFrame, RttmFrame, RspSetupFrame)
}


def decode_datagram(datagram: bytes) -> list[Frame]:
    """Return the frames of a datagram; only of DATA and PAD can there be more than one.

    :raises FrameError: if the bytes do not hold them. The driver checks more than this: see ``fl_frame_check``.
    """
    try:
        _, version, flags, kind = _HEADER.unpack_from(datagram)
        if version != 0:
            raise FrameError(f"version {version}")
        if kind in (FrameType.DATA, FrameType.PAD):
            return _decode_data(datagram)
        if kind == FrameType.RES:
            return [_decode_res(flags, datagram)]
        frame = _FIXED.get(kind)
        if frame is None:
            raise FrameError(f"type {kind} is unknown")
        layout = _layout(frame)
        values: list[Any] = list(layout.unpack_from(datagram, _HEADER.size))
        end = _HEADER.size + layout.size
        if frame is StatusMessage and len(datagram) >= end + 8:
            values += struct.unpack_from("<q", datagram, end)
        elif frame is ErrFrame:
            (length,) = struct.unpack_from("<i", datagram, end)
            if not 0 <= length <= len(datagram) - end - 4:
                raise FrameError(f"text of {length} bytes in a datagram of {len(datagram)}")
            values.append(datagram[end + 4 : end + 4 + length])
        return [frame(flags, *values)]
    except (struct.error, ValueError) as error:
        raise FrameError(f"datagram of {len(datagram)} bytes: {error}") from None
