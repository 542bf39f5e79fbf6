"""What the configuration says about transports: the table ``[transport]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from framelane.transport.names import DEFAULT_ORDER
from framelane.transport.spec import TransportSettings

__all__ = ["Rule", "TransportConfig", "split_endpoint"]


class Rule(BaseModel):
    """One of ``[[transport.rules]]``: endpoints that match everything given here go to ``transport`` first.

    The first matching rule counts. What comes after its transport is the usual order, unless ``require`` is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transport: str
    #: The kernel's name of the interface that the endpoint's traffic takes.
    interface: str | None = None
    #: Contains the peer of an endpoint that sends, the bind address of one that receives.
    address: IPv4Network | IPv6Network | None = None
    #: ``host:port`` as the channel states it, a literal ``address:port``, or ``*:port``.
    endpoint: str | None = None
    #: Serve matching endpoints with this transport or not at all.
    require: bool = False

    @field_validator("endpoint")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            split_endpoint(value)
        return value

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if self.interface is None and self.address is None and self.endpoint is None:
            raise ValueError("a rule needs interface, address or endpoint")
        return self

    def __str__(self) -> str:
        given = (("interface", self.interface), ("address", self.address), ("endpoint", self.endpoint))
        return " and ".join(f"{name} {value}" for name, value in given if value is not None)


@dataclass(frozen=True)
class TransportConfig:
    """The table ``[transport]``, checked."""

    use: tuple[str, ...] = DEFAULT_ORDER
    use_is_default: bool = True
    require: str | None = None
    rules: tuple[Rule, ...] = ()
    #: The settings of every installed plugin, given or not.
    plugins: Mapping[str, TransportSettings] = field(default_factory=dict)
    #: The transports with a table of their own, ``[transport.NAME]``.
    tables: frozenset[str] = frozenset()

    @property
    def configured(self) -> frozenset[str]:
        """The transports that the user named anywhere, which makes them worth a probe without hardware in sight."""
        named = {rule.transport for rule in self.rules} | self.tables
        if self.require is not None:
            named.add(self.require)
        return frozenset(named if self.use_is_default else named.union(self.use))

    @property
    def order(self) -> tuple[str, ...]:
        """The transports to try where no rule and no channel says otherwise; the required one is first."""
        if self.require is None:
            return self.use
        return (self.require, *(name for name in self.use if name != self.require))


def split_endpoint(text: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[ipv6]:port``.

    :returns: host (an IP address in its canonical text, a name, or ``*``) and port.
    :raises ValueError: if it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not host:port")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed or host.count(":") > 1 or host.replace(".", "").isdigit():
        if host.count(":") > 1 and not bracketed:
            raise ValueError(f"{text!r}: an IPv6 address stands in brackets before its port")
        host = str(ip_address(host[1:-1] if bracketed else host))
    return host, int(port)
