"""UDP datagrams as Ethernet frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True)
class Datagram:
    """An untagged datagram over IPv4."""

    destination: str
    port: int
    payload: bytes
    source: str = "10.88.0.2"
    source_port: int = 9999

    def frame(self) -> bytes:
        """Return the frame, with its checksums."""
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        length = 8 + len(self.payload)
        udp = struct.pack("!HHHH", self.source_port, self.port, length, 0)
        total = _checksum(source + destination + struct.pack("!HH", 17, length) + udp + self.payload) or 0xFFFF
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0) + source + destination
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        ethernet = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00"
        return ethernet + head + udp[:6] + struct.pack("!H", total) + self.payload


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
