"""Own mode: what the configuration says of a device that the kernel does not have."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface, ip_network

from framelane.netstack.routes import IpInterface
from framelane.netstack.tables import NetworkRoute
from framelane.transport.port_settings import PortSettings

__all__ = ["link_local_address", "own_addresses", "own_routes"]


def link_local_address(mac: bytes) -> IPv6Interface:
    """Return the link-local address that follows from a MAC address (RFC 4291, appendix A)."""
    identifier = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return IPv6Interface((IPv6Address(b"\xfe\x80" + bytes(6) + identifier), 64))


def own_addresses(settings: PortSettings, mac: bytes) -> list[IpInterface]:
    """Return the device's addresses, with a link-local one if it has an IPv6 address and none of those is."""
    own: list[IpInterface] = list(settings.addresses)
    ipv6 = [address for address in own if address.version == 6]
    if ipv6 and not any(address.ip.is_link_local for address in ipv6):
        own.append(link_local_address(mac))
    return own


def own_routes(settings: PortSettings) -> list[NetworkRoute]:
    """Return the routes through gateways; own networks need none."""
    routes = [NetworkRoute(route.to, gateway=route.via) for route in settings.routes]
    for gateway in settings.gateway:
        routes.append(NetworkRoute(ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0"), gateway=gateway))
    return routes
