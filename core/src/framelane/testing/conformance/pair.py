"""What a plugin supplies to the conformance kit: a pair of open transports and the addresses to use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from framelane._native import lib
from framelane.testing.station import Datagram, Endpoint, FarEndpoint, FarStation, Run, Station
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport

__all__ = ["BaseConformance", "Family", "Link", "TransportPair"]

SENDER = int(lib.FL_ROLE_SENDER)
RECEIVER = int(lib.FL_ROLE_RECEIVER)


@dataclass(frozen=True)
class Family:
    """The addresses of one address family."""

    near: str  #: an address of the near transport
    far: str  #: an address of the far transport, that the near one reaches
    absent: str  #: an address that neither has
    group: str | None = None  #: a multicast group that both may join; needed if ``multicast`` is declared


@dataclass
class TransportPair:
    """Two open transports that reach each other.

    :param near: in this process; what is tested.
    :param far: in this process, or a :class:`~framelane.testing.far_end.RemoteStation`.
    :param ipv4: and ``ipv6``: the addresses; at least one of them, and ``ipv6`` if the capability is declared.
    :param reopen: opens the near transport once more after it was closed.
    """

    near: Station
    far: FarStation
    reopen: Callable[[], OpenTransport]
    ipv4: Family | None = None
    ipv6: Family | None = None

    def __post_init__(self) -> None:
        if isinstance(self.far, Station) and self.far is not self.near:
            self.near.companions.append(self.far)
            self.far.companions.append(self.near)

    @property
    def families(self) -> list[Family]:
        """The families that there are, IPv4 first."""
        return [family for family in (self.ipv4, self.ipv6) if family is not None]

    def close(self) -> None:
        """Close both transports."""
        try:
            self.near.close()
        finally:
            self.far.close()


@dataclass
class Link:
    """A near endpoint connected to a far one, and the other way round."""

    near: Endpoint
    far: FarEndpoint

    def send(self, *runs: Run) -> None:
        """Send from near to far."""
        self.near.send_all(runs)

    def receive(self, count: int) -> list[bytes]:
        """Return what arrives at the far end; fails if it is fewer than ``count`` datagrams."""
        received = [datagram.data for datagram in self.far.receive(count)]
        assert len(received) == count, f"{len(received)} of {count} datagrams arrived"
        return received


class BaseConformance:
    """Base of the kit's classes. A plugin's test class subclasses one of them and overrides the fixture."""

    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        """Yield a pair; close it afterwards with :meth:`TransportPair.close`."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture transport_pair")

    @pytest.fixture
    def near(self, transport_pair: TransportPair) -> Station:
        """The transport under test."""
        return transport_pair.near

    @pytest.fixture
    def family(self, transport_pair: TransportPair) -> Family:
        """The addresses that most cases use."""
        return transport_pair.families[0]

    @pytest.fixture
    def link(self, transport_pair: TransportPair, family: Family) -> Link:
        """A connected send endpoint at the near end and a receive endpoint at the far end, unicast."""
        return connect(transport_pair, family)

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> random.Random:
        """A generator whose seed is printed if the case fails."""
        seed = random.SystemRandom().getrandbits(32)
        print(f"seed of {request.node.name}: {seed}")
        return random.Random(seed)


def connect(pair: TransportPair, family: Family, mtu_length: int = 1408, **options: Any) -> Link:
    """Open a far endpoint on any free port and a near one whose peer it is."""
    far = pair.far.open(
        role=RECEIVER, bind=Address.of(family.far), mtu_length=mtu_length, receive_buffer_length=1 << 21
    )
    near = pair.near.open(
        role=SENDER,
        bind=Address.of(family.near),
        peer=far.local,
        flags=lib.FL_ENDPOINT_CONNECT,
        mtu_length=mtu_length,
        send_buffer_length=1 << 21,
        **options,
    )
    return Link(near, far)


def payloads(datagrams: list[Datagram]) -> list[bytes]:
    """Return the bytes of datagrams."""
    return [datagram.data for datagram in datagrams]
