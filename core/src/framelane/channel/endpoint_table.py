"""Which endpoint a channel shares: by its tag, else by its canonical form (wire 5.7, 5.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from framelane.channel.udp_channel import UdpChannel

__all__ = ["EndpointTable", "HasChannel"]


class HasChannel(Protocol):
    """An endpoint. Its channel's addresses may change with re-resolution, its tag and canonical form do not."""

    @property
    def channel(self) -> UdpChannel: ...


E = TypeVar("E", bound=HasChannel)


class EndpointTable(Generic[E]):
    """The endpoints of one side; send and receive endpoints have a table each. Control thread only."""

    def __init__(self) -> None:
        self._by_tag: dict[int, E] = {}
        self._by_canonical: dict[str, list[E]] = {}

    def add(self, endpoint: E) -> None:
        """Enter an endpoint, after :meth:`find` found none for its channel."""
        channel = endpoint.channel
        if channel.tag is not None:
            self._by_tag[channel.tag] = endpoint
        self._by_canonical.setdefault(channel.canonical, []).append(endpoint)

    def remove(self, endpoint: E) -> None:
        """Take an endpoint out; the object that was entered."""
        channel = endpoint.channel
        if channel.tag is not None:
            del self._by_tag[channel.tag]
        same = self._by_canonical[channel.canonical]
        same[:] = [other for other in same if other is not endpoint]
        if not same:
            del self._by_canonical[channel.canonical]

    def find(self, channel: UdpChannel) -> E | None:
        """Return the endpoint that a channel joins, ``None`` if it needs one of its own.

        :raises ChannelError: GENERIC_ERROR if the endpoint with its tag differs in mode or addresses.
        """
        if channel.tag is not None and (tagged := self._by_tag.get(channel.tag)) is not None:
            channel.check_tag_matches(tagged.channel)
            return tagged
        for endpoint in self._by_canonical.get(channel.canonical, ()):
            if channel.tag is None or endpoint.channel.tag in (None, channel.tag):
                return endpoint
        return None

    def __iter__(self) -> Iterator[E]:
        for same in self._by_canonical.values():
            yield from same

    def __len__(self) -> int:
        return sum(map(len, self._by_canonical.values()))
