"""UDP datagrams as Ethernet frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True)
class Datagram:
    """A datagram."""

    destination: str
    port: int
    payload: bytes
    source: str = "10.88.0.2"
    source_port: int = 9999
    vlan: int | None = None

    def frame(self) -> bytes:
        """Return the frame, with its checksums."""
        source, destination = ip_address(self.source).packed, ip_address(self.destination).packed
        length = 8 + len(self.payload)
        udp = struct.pack("!HHHH", self.source_port, self.port, length, 0)
        pseudo = source + destination + struct.pack("!II", length, 17)
        total = _checksum(pseudo + udp + self.payload) or 0xFFFF
        if len(source) == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0) + source + destination
            head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
            kind = b"\x08\x00"
        else:
            head = struct.pack("!IHBB", 0x60000000, length, 17, 64) + source + destination
            kind = b"\x86\xdd"
        tag = b"" if self.vlan is None else b"\x81\x00" + struct.pack("!H", self.vlan)
        ethernet = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + tag + kind
        return ethernet + head + udp[:6] + struct.pack("!H", total) + self.payload


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
