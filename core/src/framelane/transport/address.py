"""IP addresses and UDP ports as they cross to transports."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from framelane._native import ffi, lib

__all__ = ["Address", "IPAddress"]

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Address:
    """An IP address and UDP port, as ``fl_address_t``."""

    ip: IPAddress
    port: int = 0
    scope_id: int = 0  #: interface index of a link-local IPv6 address

    @classmethod
    def of(cls, host: str, port: int = 0) -> Address:
        """Return the address of a literal such as ``10.0.0.1`` or ``ff02::1``."""
        return cls(ipaddress.ip_address(host), port)

    @classmethod
    def from_native(cls, address: Any) -> Address | None:
        """Return the value of an ``fl_address_t``; ``None`` for family none."""
        if address.family == lib.FL_FAMILY_NONE:
            return None
        packed = bytes(ffi.buffer(address.bytes))
        is_ipv4 = address.family == lib.FL_FAMILY_IPV4
        ip: IPAddress = ipaddress.IPv4Address(packed[:4]) if is_ipv4 else ipaddress.IPv6Address(packed)
        return cls(ip, address.port, address.scope_id)

    def store(self, address: Any) -> None:
        """Write the value into an ``fl_address_t``."""
        address.family = lib.FL_FAMILY_IPV4 if self.ip.version == 4 else lib.FL_FAMILY_IPV6
        address.reserved = 0
        address.port = self.port
        address.scope_id = self.scope_id
        ffi.buffer(address.bytes)[:] = self.ip.packed.ljust(16, b"\0")

    def with_port(self, port: int) -> Address:
        """Return the same host's address with another port."""
        return replace(self, port=port)

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}" if self.ip.version == 4 else f"[{self.ip}]:{self.port}"
