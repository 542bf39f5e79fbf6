"""Links between subscriptions and what they read: images, and publications of this driver (shm 9.4).

Linking takes two steps. The owning agent chooses the join position and stores it in a counter that readers do not see
yet; from then on the subscriber holds back cleaning. Then the counter is shown and the client is told. However long
the control plane pauses in between, the subscriber misses nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from framelane.channel import UntetheredTimeouts
from framelane.driver.events import wire_text
from framelane.driver.native import NOT_THERE, TRY_AGAIN
from framelane.driver.services import Services
from framelane.driver.storage import LogFile
from framelane.driver.stream import Stream
from framelane.errors import NativeError
from framelane.protocol.events import AvailableImage, UnavailableImage
from framelane.shm.counter_types import CounterType

if TYPE_CHECKING:
    from framelane.driver.subscriptions import Subscription

__all__ = ["Link", "LinkState", "Links", "Source"]


class Source(Protocol):
    """What a subscription reads.

    :ivar correlation_id: of an image, or the registration id of a publication.
    :ivar links: by the registration id of the subscription.
    :ivar untethered: timeouts of its untethered subscribers.
    """

    @property
    def correlation_id(self) -> int: ...
    @property
    def session_id(self) -> int: ...
    @property
    def stream_id(self) -> int: ...
    @property
    def log(self) -> LogFile: ...
    @property
    def source_identity(self) -> str: ...
    @property
    def links(self) -> dict[int, Link]: ...
    @property
    def untethered(self) -> UntetheredTimeouts: ...

    def link(self, subscription_id: int, counter_id: int) -> int:
        """Let the owning agent link a subscriber; returns the join position.

        :raises NativeError: with ``TRY_AGAIN`` if it takes no subscribers now.
        """
        ...

    def unlink(self, subscription_id: int) -> None:
        """Let the owning agent unlink a subscriber."""
        ...

    def is_behind(self, subscription_id: int) -> bool:
        """Ask the owning agent whether a subscriber is so far behind that it is given up if it is untethered."""
        ...


class LinkState(enum.Enum):
    """How an untethered subscriber is (shm 9.9); a tethered one is always ``ACTIVE``."""

    ACTIVE = enum.auto()
    LINGER = enum.auto()  #: the client was told that the image is gone, and may still look at it
    RESTING = enum.auto()  #: the owning agent has let go of it; it comes back
    ENDED = enum.auto()  #: the source is over


@dataclass(eq=False)
class Link:
    """One subscription reading one source.

    :ivar since_ns: when an untethered one came into its state, or was last seen where it should be.
    """

    subscription: Subscription
    source: Source
    counter_id: int
    since_ns: int
    state: LinkState = LinkState.ACTIVE


class Links:
    """Makes and undoes links.

    :ivar between_steps: called between the two steps; for tests that pause there.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.between_steps: Callable[[], None] = lambda: None

    def link(self, subscription: Subscription, source: Source) -> bool:
        """Link a subscription to a source and announce the image.

        :returns: ``False`` if the source takes no subscribers now, or has this one already.
        :raises CommandError: if no counter is left.
        """
        if subscription.registration_id in source.links:
            return False
        counter_id = self._services.counters.reserve()
        try:
            position = source.link(subscription.registration_id, counter_id)
        except NativeError as error:
            self._services.counters.free(counter_id)
            if error.code == TRY_AGAIN:
                return False
            raise
        self.between_steps()
        self._show(subscription, source, counter_id, position)
        return True

    def reserve(self, subscriptions: Sequence[Subscription]) -> list[int]:
        """Reserve position counters for the first subscribers of an image, all or none.

        :raises CommandError: if not enough counters are left.
        """
        reserved: list[int] = []
        try:
            for _ in subscriptions:
                reserved.append(self._services.counters.reserve())
        except BaseException:
            self.release(reserved)
            raise
        return reserved

    def release(self, counter_ids: Sequence[int]) -> None:
        """Give reserved position counters back."""
        for counter_id in counter_ids:
            self._services.counters.free(counter_id)

    def show_first(
        self, subscriptions: Sequence[Subscription], counter_ids: Sequence[int], source: Source, position: int
    ) -> None:
        """Take the second step for subscribers that an image was made with."""
        self.between_steps()
        for subscription, counter_id in zip(subscriptions, counter_ids, strict=True):
            self._show(subscription, source, counter_id, position)

    def _show(self, subscription: Subscription, source: Source, counter_id: int, position: int) -> None:
        stream = Stream(subscription.registration_id, source.session_id, source.stream_id, subscription.channel)
        self._services.counters.show(
            counter_id,
            CounterType.SUBSCRIBER_POSITION,
            stream.key,
            stream.label("sub-pos", position),
            registration_id=subscription.registration_id,
            owner_id=subscription.client_id,
            reference_id=source.correlation_id,
        )
        link = Link(subscription, source, counter_id, self._services.clock.nano())
        source.links[subscription.registration_id] = link
        subscription.links.append(link)
        self.announce_available(link)

    def announce_available(self, link: Link) -> None:
        """Tell a subscriber that it may read a source."""
        source = link.source
        self._services.events.send(
            AvailableImage(
                correlation_id=source.correlation_id,
                session_id=source.session_id,
                stream_id=source.stream_id,
                subscription_registration_id=link.subscription.registration_id,
                subscriber_position_counter_id=link.counter_id,
                log_file=wire_text(str(source.log.path)),
                source_identity=source.source_identity,
            )
        )

    def announce_unavailable(self, source: Source) -> None:
        """Tell every subscriber of a source that its image is gone."""
        for link in source.links.values():
            if link.state is LinkState.ACTIVE:
                self.announce_gone(link, link.subscription.channel)
            link.state = LinkState.ENDED

    def announce_gone(self, link: Link, channel: str) -> None:
        """Tell one subscriber that its image is gone."""
        self._services.events.send(
            UnavailableImage(
                correlation_id=link.source.correlation_id,
                subscription_registration_id=link.subscription.registration_id,
                stream_id=link.source.stream_id,
                channel=wire_text(channel),
            )
        )

    def end(self, source: Source) -> None:
        """The source has ended: tell its subscribers, and undo their links."""
        self.announce_unavailable(source)
        for link in list(source.links.values()):
            self.unlink(link)

    def unlink(self, link: Link) -> None:
        """Undo a link. No event (shm 9.4). The owning agent may have dropped the subscriber on its own."""
        try:
            link.source.unlink(link.subscription.registration_id)
        except NativeError as error:
            if error.code != NOT_THERE:
                raise
        self.forget(link)

    def hand_over(self, link: Link, subscription: Subscription) -> None:
        """Let another destination of the same subscription read on in place of the one that did. No event."""
        link.subscription.links.remove(link)
        subscription.links.append(link)
        link.subscription, link.since_ns = subscription, self._services.clock.nano()

    def forget(self, link: Link) -> None:
        """Drop a link that the owning agent has dropped already, and free its counter."""
        del link.source.links[link.subscription.registration_id]
        link.subscription.links.remove(link)
        self._services.counters.free(link.counter_id)

    def forget_all(self, source: Source) -> None:
        """Drop the links of a source that the owning agent has let go of."""
        for link in list(source.links.values()):
            self.forget(link)
