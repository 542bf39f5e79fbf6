"""What selection is asked about one endpoint, gathered from the channel and the kernel's routes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from framelane.netstack.routes import Interface, IpAddress, Routes
from framelane.transport.config import Rule, split_endpoint

__all__ = ["Question", "ask"]


@dataclass(frozen=True)
class Question:
    """One endpoint that wants a transport, and all that selection may look at.

    An endpoint without a fixed peer, such as a multi-destination publication's, is asked for as one that receives at
    its bind address.
    """

    label: str  #: for messages: the channel, or what stands for it
    address: IpAddress  #: the peer of an endpoint that sends, the bind address or group of one that receives
    port: int
    endpoint: str = ""  #: ``host:port`` as the channel states it
    sends: bool = True
    interface: str | None = None  #: that the traffic takes; ``None``: any, or the kernel has no route
    source: IpAddress | None = None  #: preferred source address; a send endpoint is bound to it
    is_local: bool = False  #: the peer is an address of this host
    mtu_length: int = 1408  #: longest datagram, bytes of UDP payload
    transport: str | None = None  #: the channel's ``transport=`` parameter

    @property
    def is_wildcard(self) -> bool:
        """Whether it binds to every address of every interface."""
        return not self.sends and self.address.is_unspecified and self.interface is None

    @property
    def text(self) -> str:
        """The address with its port; of an endpoint without a port yet, what the channel states."""
        if self.port == 0 and self.endpoint:
            return self.endpoint
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    def matches(self, rule: Rule) -> bool:
        """Whether everything that a rule gives is true of this endpoint."""
        if rule.interface is not None and rule.interface != self.interface:
            return False
        if rule.address is not None and not _contains(rule.address, self.address):
            return False
        if rule.endpoint is None or rule.endpoint == self.endpoint:
            return True
        host, port = split_endpoint(rule.endpoint)
        return port == self.port and host in ("*", str(self.address))


def ask(
    routes: Routes,
    *,
    label: str,
    address: IpAddress,
    port: int,
    endpoint: str = "",
    sends: bool,
    interface_address: IpAddress | None = None,
    mtu_length: int = 1408,
    transport: str | None = None,
) -> Question:
    """Gather a question: where the traffic goes, and whether the peer is this host.

    :param address: as in :class:`Question`, resolved.
    :param interface_address: of the interface that the channel chose, or ``None`` if it did not. A multicast channel
        always has one, which the search of ``wire`` 5.5 found; without, the route to the group stands in for it.
    """
    interface: str | None = None
    source: IpAddress | None = None
    is_local = False
    if interface_address is not None and not interface_address.is_unspecified:
        holder = _holder(routes, interface_address)
        interface, source = holder.name if holder else None, interface_address
        if sends and not address.is_multicast:
            # The route tells whether the peer is local; the channel has already chosen the way out.
            route = routes.route_to(address)
            is_local = route is not None and route.is_local
    elif sends or address.is_multicast:
        route = routes.route_to(address)
        if route is not None:
            interface, source, is_local = route.interface, route.source, route.is_local
    elif not address.is_unspecified:
        holder = _holder(routes, address)
        interface = holder.name if holder else None
    return Question(label, address, port, endpoint, sends, interface, source, is_local and sends, mtu_length, transport)


def _holder(routes: Routes, address: IpAddress) -> Interface | None:
    """Return the interface that has an address; all of 127/8 is the loopback's."""
    for interface in routes.interfaces():
        if any(own.ip == address for own in interface.addresses):
            return interface
        if interface.is_loopback and address.is_loopback:
            return interface
    return None


def _contains(network: IPv4Network | IPv6Network, address: IpAddress) -> bool:
    return network.version == address.version and address in network
