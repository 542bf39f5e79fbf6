"""Untethered subscribers: given up while they hold back the others, and taken in again later (shm 9.9)."""

from __future__ import annotations

from framelane.driver.links import Link, Links, LinkState
from framelane.driver.native import TRY_AGAIN
from framelane.driver.services import Services
from framelane.driver.subscriptions import Subscriptions
from framelane.errors import NativeError
from framelane.protocol.events import IPC_SOURCE_IDENTITY

__all__ = ["UntetheredLinks"]


class UntetheredLinks:
    """Moves the links of untethered subscriptions from state to state. Control thread.

    The client hears that its image is gone before the owning agent lets go of the subscriber, so it reads nothing that
    is being overwritten.
    """

    def __init__(self, services: Services, links: Links, subscriptions: Subscriptions) -> None:
        self._services = services
        self._links = links
        self._subscriptions = subscriptions

    def on_timer(self) -> None:
        """Take one step with each; one that fails is recorded and takes its step with the next timer pass."""
        now_ns = self._services.clock.nano()
        for subscription in self._subscriptions.with_destinations():
            if not subscription.params.is_tethered:
                for link in list(subscription.links):
                    try:
                        self._step(link, now_ns)
                    except Exception as error:
                        what = f"untethered link of subscription {subscription.registration_id}"
                        self._services.errors.record_exception(error, what)

    def _step(self, link: Link, now_ns: int) -> None:
        timeouts, passed_ns = link.source.untethered, now_ns - link.since_ns
        match link.state:
            case LinkState.ACTIVE:
                if not link.source.is_behind(link.subscription.registration_id):
                    link.since_ns = now_ns
                elif passed_ns > timeouts.window_limit_ns:
                    self._links.announce_gone(link, IPC_SOURCE_IDENTITY)
                    link.state, link.since_ns = LinkState.LINGER, now_ns
            case LinkState.LINGER:
                if passed_ns > (timeouts.linger_ns or 0):
                    self._let_go(link, now_ns)
            case LinkState.RESTING:
                if passed_ns > timeouts.resting_ns:
                    self._take_in(link, now_ns)
            case LinkState.ENDED:
                pass

    def _let_go(self, link: Link, now_ns: int) -> None:
        if link.subscription.params.is_rejoin:
            link.source.unlink(link.subscription.registration_id)
            link.state, link.since_ns = LinkState.RESTING, now_ns
        else:
            self._links.unlink(link)

    def _take_in(self, link: Link, now_ns: int) -> None:
        """Join again where a new subscriber would, if the source takes any."""
        try:
            link.source.link(link.subscription.registration_id, link.counter_id)
        except NativeError as error:
            if error.code == TRY_AGAIN:
                return
            raise
        link.state, link.since_ns = LinkState.ACTIVE, now_ns
        self._links.announce_available(link)
