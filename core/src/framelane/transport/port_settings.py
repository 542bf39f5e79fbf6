"""Settings that every transport of level ``port`` has: what the netstack needs to know of the network behind it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from framelane.transport.spec import Fact, TransportSettings, Verdict

__all__ = ["PortSettings", "RouteSettings", "port_facts"]


class RouteSettings(BaseModel):
    """A route of a device that the kernel does not have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: IPv4Network | IPv6Network = Field(description="Network that is reached.")
    via: IPv4Address | IPv6Address = Field(description="Gateway, on one of the device's own networks.")

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        if self.to.version != self.via.version:
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
        description='With neighbours = own: further routes, such as { to = "10.2.0.0/16", via = "10.1.0.1" }.',
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

    @field_validator("addresses", "gateway", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take what the environment and ``--set`` say: addresses with commas between them."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        versions = [gateway.version for gateway in self.gateway]
        if len(set(versions)) != len(versions):
            raise ValueError("gateway: more than one for a family; name the others under routes")
        for gateway in (*self.gateway, *(route.via for route in self.routes)):
            if not gateway.is_link_local and not any(gateway in address.network for address in self.addresses):
                own = ", ".join(map(str, self.addresses)) or "none are configured"
                raise ValueError(f"gateway {gateway} is on none of the device's networks ({own})")
        return self


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
