"""UDP datagrams as Ethernet frames, made by hand: with a tag, options, or as fragments."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

__all__ = ["Datagram"]


@dataclass(frozen=True)
class Datagram:
    """A datagram."""

    destination: str
    port: int
    payload: bytes
    source: str = "10.77.0.2"
    source_port: int = 9999
    mac: bytes = b"\xff" * 6
    source_mac: bytes = b"\x02\0\0\0\0\x01"
    vlan: int | None = None
    fragment: int = 0
    options: bytes = b""

    def frame(self) -> bytes:
        """Return the frame, with its checksums."""
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        length = 8 + len(self.payload)
        udp = struct.pack("!HHHH", self.source_port, self.port, length, 0)
        pseudo = source + destination + struct.pack("!II", length, 17)
        total = _checksum(pseudo + udp + self.payload) or 0xFFFF
        if len(source) == 4:
            size = 20 + len(self.options) + length
            head = struct.pack("!BBHHHBBH", 0x45 + len(self.options) // 4, 0, size, 7, self.fragment, 64, 17, 0)
            head += source + destination + self.options
            head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
            kind = b"\x08\x00"
        else:
            head = struct.pack("!IHBB", 0x60000000, length, 17, 64) + source + destination
            kind = b"\x86\xdd"
        tag = b"" if self.vlan is None else b"\x81\x00" + struct.pack("!H", self.vlan)
        return self.mac + self.source_mac + tag + kind + head + udp[:6] + struct.pack("!H", total) + self.payload


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
