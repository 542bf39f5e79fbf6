"""Settings that every transport of level ``port`` has: what the netstack needs to know of the network behind it."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from framelane.transport.spec import Fact, TransportSettings, Verdict

__all__ = ["PortSettings", "RouteSettings", "port_facts"]


class RouteSettings(BaseModel):
    """A route of a device that the kernel does not have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: IPv4Network | IPv6Network = Field(description="Network that is reached.")
    via: IPv4Address | IPv6Address | None = Field(
        default=None, description="Gateway, on a network that is on the link; without, the network itself is."
    )

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        if self.via is not None and self.to.version != self.via.version:
            raise ValueError(f"to = {self.to} and via = {self.via} are of different families")
        return self


class PortSettings(TransportSettings):
    """Base of the settings model of a port-level plugin, the netstack's part of ``[transport.NAME]``."""

    neighbours: Literal["auto", "kernel", "own"] = Field(
        default="auto",
        description="Who answers ARP and NDP and knows the routes: kernel, while the interface stays with Linux; own, "
        "where the device was taken from it; auto, as the device says.",
    )
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = Field(
        default=(),
        description='With neighbours = own: the device\'s addresses with prefix length, such as "10.1.0.5/24".',
    )
    gateway: tuple[IPv4Address | IPv6Address, ...] = Field(
        default=(), description="With neighbours = own: default gateways, at most one for each family."
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(),
        description='With neighbours = own: further routes, such as { to = "10.2.0.0/16", via = "10.1.0.1" }; without '
        "via the network is on the link.",
    )
    vlan: int | None = Field(default=None, ge=1, le=4094, description="802.1Q tag of every frame sent and received.")
    ip_mtu: int | None = Field(
        default=None, ge=576, le=9216, description="Longest IP packet, bytes; that of the device if not given."
    )
    udp_checksum: bool = Field(
        default=True,
        description="Compute and verify UDP checksums over IPv4; without, frames carry 0, which IPv4 allows and IPv6 "
        "does not.",
    )

    neighbour_capacity: int = Field(
        default=1024, ge=64, le=65536, description="Neighbours that are known at a time; a power of two."
    )

    @field_validator("neighbour_capacity")
    @classmethod
    def _is_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"{value} is not a power of two, such as {1 << value.bit_length()}")
        return value

    @field_validator("addresses", mode="before")
    @classmethod
    def _read_addresses(cls, value: object) -> object:
        return [_own_address(one) for one in _split(value)] if isinstance(value, str | list | tuple) else value

    @field_validator("gateway", mode="before")
    @classmethod
    def _read_gateways(cls, value: object) -> object:
        return [_gateway(one) for one in _split(value)] if isinstance(value, str | list | tuple) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        versions = [gateway.version for gateway in self.gateway]
        if len(set(versions)) != len(versions):
            raise ValueError("gateway: more than one for a family; name the others under routes")
        own = {address.ip for address in self.addresses}
        on_link = [address.network for address in self.addresses]
        on_link += [route.to for route in self.routes if route.via is None]
        for gateway in (*self.gateway, *(route.via for route in self.routes)):
            if gateway is None:
                continue
            if gateway in own:
                raise ValueError(f"gateway {gateway} is the device's own address; name the router's")
            if not gateway.is_link_local and not any(gateway in network for network in on_link):
                known = ", ".join(map(str, self.addresses)) or "none are configured"
                raise ValueError(
                    f"gateway {gateway} is on none of the device's networks ({known}); if it is on the link all the "
                    f'same, add {{ to = "{gateway}/{gateway.max_prefixlen}" }} to routes'
                )
        return self


def _split(value: str | list[object] | tuple[object, ...]) -> list[object]:
    """Take what the environment and ``--set`` say, too: addresses with commas between them."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)


def _own_address(value: object) -> object:
    """Return an address that a host can have, from its text; what else it is, the model judges."""
    if not isinstance(value, str):
        return value
    try:
        own = ip_interface(value)
    except ValueError:
        raise ValueError(f'{value!r} is no address with prefix length, such as "10.1.0.5/24"') from None
    if "/" not in value:
        length = 24 if own.version == 4 else 64
        raise ValueError(f"{value} lacks the prefix length of its network; write it behind, such as {value}/{length}")
    if own.ip.is_multicast or own.ip.is_unspecified or own.ip.is_loopback:
        raise ValueError(f"{value} is no address that a device can have")
    ends = (own.network.network_address, own.network.broadcast_address)
    if own.version == 4 and own.network.prefixlen < 31 and own.ip in ends:
        raise ValueError(f"{value} is the network's first or last address; write the device's own")
    return own


def _gateway(value: object) -> object:
    """Return the address of a gateway from its text."""
    if not isinstance(value, str):
        return value
    try:
        gateway = ip_address(value)
    except ValueError:
        raise ValueError(f'{value!r} is no address, such as "10.1.0.1"') from None
    if gateway.is_multicast or gateway.is_unspecified or gateway.is_loopback:
        raise ValueError(f"{value} is no address that a gateway can have")
    return gateway


def port_facts(settings: PortSettings, verdict: Verdict) -> tuple[Fact, ...]:
    """Return where the netstack of each device that was found would get its addresses, for ``framelane transports``."""
    facts = []
    for device in verdict.devices or ():
        is_kept = device.interface is not None and settings.neighbours != "own"
        if is_kept:
            text = f"{device.name}: addresses, routes and neighbours of {device.interface}, from Linux"
        else:
            addresses = ", ".join(device.addresses or map(str, settings.addresses)) or "none, set addresses"
            text = f"{device.name}: neighbours of its own; addresses {addresses}"
            if device.reaches:
                text += f"; reaches {', '.join(device.reaches)}"
        facts.append(Fact("netstack", text))
    return tuple(facts)
