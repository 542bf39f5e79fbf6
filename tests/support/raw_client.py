"""A client made of bytes: commands into the to-driver ring, events out of the broadcast, logs and counters mapped.

It has no thread and no time of its own, so it runs beside a simulated driver; and it can do what a client must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from framelane._native import ffi, lib
from framelane.protocol import commands
from framelane.protocol.commands import Command
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    Event,
    ExclusivePublicationReady,
    OperationSuccess,
    PublicationAdded,
    PublicationError,
    PublicationReady,
    SubscriptionReady,
    UnavailableImage,
    decode_event,
)
from framelane.shm.cnc import CNC_FILE, CncFile
from framelane.shm.log_buffer import LogBuffer

__all__ = ["CommandFailed", "Fragment", "RawClient", "RawImage", "RawPublication", "RawSubscription"]

E = TypeVar("E", bound=Event)


class CommandFailed(Exception):
    """The driver answered with an error."""

    def __init__(self, error: ErrorResponse) -> None:
        super().__init__(f"{error.error_code}: {error.error_message}")
        self.code = error.error_code
        self.text = error.error_message


class Fragment(NamedTuple):
    """What one poll gave, a fragment or a whole message."""

    position: int  #: behind it
    session_id: int
    data: bytes


@dataclass(eq=False)
class RawPublication:
    """A publication over its mapped log."""

    registration_id: int  #: of this use
    ready: PublicationAdded
    log: LogBuffer
    native: Any

    def offer(self, message: bytes) -> int:
        """Return the position behind the message, or a negative ``FL_*``."""
        return int(lib.fl_client_publication_offer(self.native, message, len(message), 0))

    @property
    def is_connected(self) -> bool:
        return bool(lib.fl_client_publication_is_connected(self.native))

    @property
    def position(self) -> int:
        return int(lib.fl_client_publication_position(self.native))

    def close(self) -> None:
        """Unmap; the driver is not told."""
        lib.fl_client_publication_close(self.native)
        lib.fl_client_publication_free(self.native)
        self.log.close()


@dataclass(eq=False)
class RawImage:
    """An image over its mapped log."""

    event: AvailableImage
    log: LogBuffer
    native: Any

    @property
    def position(self) -> int:
        return int(lib.fl_client_image_position(self.native))

    @property
    def join_position(self) -> int:
        return int(lib.fl_client_image_join_position(self.native))

    @property
    def is_end_of_stream(self) -> bool:
        return bool(lib.fl_client_image_is_end_of_stream(self.native))

    @property
    def is_revoked(self) -> bool:
        return bool(lib.fl_client_image_is_revoked(self.native))


@dataclass(eq=False)
class RawSubscription:
    """A subscription and its images."""

    registration_id: int
    native: Any
    images: list[RawImage] = field(default_factory=list)
    closed_images: list[RawImage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._fragments = ffi.new("fl_fragment_t[]", 64)

    def poll(self) -> list[bytes]:
        """Return the next messages and let the driver have their room."""
        return [fragment.data for fragment in self.poll_fragments(assemble=True)]

    def poll_fragments(self, *, assemble: bool = False) -> list[Fragment]:
        """Return the next fragments, or whole messages, and let the driver have their room."""
        count = lib.fl_client_subscription_poll(self.native, self._fragments, len(self._fragments), assemble)
        assert count >= 0, f"poll returned {count}"
        taken = []
        for i in range(count):
            found = self._fragments[i]
            taken.append(Fragment(found.position, found.session_id, bytes(ffi.buffer(found.data, found.length))))
        lib.fl_client_subscription_release(self.native, count)
        return taken


class RawClient:
    """One client of a driver directory.

    :param step: lets time and the driver go on by a little; called while an answer is awaited.
    :param patience: how many steps an answer may take.
    """

    def __init__(self, directory: Path, step: Callable[[], object], patience: int = 20_000) -> None:
        self._step = step
        self._patience = patience
        self.cnc = CncFile.map(directory / CNC_FILE)
        self.cnc.check_version()
        self.cnc.find_sections()
        self.ring = self.cnc.to_driver()
        self.broadcast = self.cnc.receiver()
        self.counters = self.cnc.counters()
        self.client_id = self.ring.next_correlation_id()
        self.events: list[Event] = []
        self.subscriptions: dict[int, RawSubscription] = {}
        self.publications: dict[int, RawPublication] = {}

    # ---- commands and events ----

    def send(self, command: Command) -> int:
        """Write a command; returns its correlation id."""
        self.ring.write(command.TYPE, command.encode())
        return command.correlation_id

    def send_keepalive(self) -> None:
        self.send(commands.ClientKeepalive(self.client_id, 0))

    def poll_events(self) -> None:
        """Take events; images of own subscriptions come and go with them."""
        while (record := self.broadcast.receive()) is not None:
            event = decode_event(record.type_id, record.body)
            self.events.append(event)
            if isinstance(event, AvailableImage):
                self._on_image(event)
            elif isinstance(event, UnavailableImage):
                self._on_no_image(event)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Step until a condition holds."""
        for _ in range(self._patience):
            self.poll_events()
            if condition():
                return
            self._step()
        raise AssertionError(f"{what} did not happen; last events: {self.events[-5:]}")

    def find(self, kind: type[E], **values: object) -> list[E]:
        """Return the events of a kind with these values."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in values.items())
        ]

    def _answer(self, kind: type[E], correlation_id: int) -> E:
        def error() -> list[ErrorResponse]:
            return self.find(ErrorResponse, offending_command_correlation_id=correlation_id)

        def found() -> bool:
            return bool(error() or self.find(kind, correlation_id=correlation_id))

        self.wait_for(found, f"answer {kind.__name__} to {correlation_id}")
        if failed := error():
            raise CommandFailed(failed[0])
        return self.find(kind, correlation_id=correlation_id)[0]

    def ask(self, make: Callable[[int, int], Command]) -> None:
        """Send a command made from client id and correlation id, and wait until it is done.

        :raises CommandFailed: if the driver answers with an error.
        """
        self._answer(OperationSuccess, self.send(make(self.client_id, self.ring.next_correlation_id())))

    # ---- publications ----

    def add_publication(self, channel: str, stream_id: int = 1001, *, exclusive: bool = False) -> RawPublication:
        """Add a publication and map its log."""
        correlation_id = self.ring.next_correlation_id()
        kind = commands.AddExclusivePublication if exclusive else commands.AddPublication
        self.send(kind(self.client_id, correlation_id, stream_id, channel))
        ready: PublicationAdded = self._answer(
            ExclusivePublicationReady if exclusive else PublicationReady, correlation_id
        )
        log = LogBuffer.open(Path(ready.log_file))
        limit = ffi.cast("int64_t *", self.counters.address(ready.publication_limit_counter_id))
        native = lib.fl_client_publication_new(log.native, limit, exclusive)
        assert native != ffi.NULL
        publication = RawPublication(correlation_id, ready, log, native)
        self.publications[correlation_id] = publication
        return publication

    def remove_publication(self, publication: RawPublication, *, revoke: bool = False) -> None:
        """Remove a publication and unmap it."""
        del self.publications[publication.registration_id]
        self.ask(lambda me, id_: commands.RemovePublication(me, id_, publication.registration_id, int(revoke)))
        publication.close()

    # ---- subscriptions ----

    def start_subscription(self, channel: str, stream_id: int = 1001) -> RawSubscription:
        """Ask for a subscription, and do not wait for the answer."""
        correlation_id = self.ring.next_correlation_id()
        subscription = RawSubscription(correlation_id, lib.fl_client_subscription_new())
        self.subscriptions[correlation_id] = subscription
        self.send(commands.AddSubscription(self.client_id, correlation_id, -1, stream_id, channel))
        return subscription

    def add_subscription(self, channel: str, stream_id: int = 1001) -> RawSubscription:
        """Add a subscription."""
        subscription = self.start_subscription(channel, stream_id)
        try:
            self._answer(SubscriptionReady, subscription.registration_id)
        except CommandFailed:
            lib.fl_client_subscription_close(subscription.native)
            lib.fl_client_subscription_free(self.subscriptions.pop(subscription.registration_id).native)
            raise
        return subscription

    def remove_subscription(self, subscription: RawSubscription) -> None:
        """Remove a subscription and unmap its images."""
        self.ask(lambda me, id_: commands.RemoveSubscription(me, id_, subscription.registration_id))
        self._drop(self.subscriptions.pop(subscription.registration_id))

    def reject_image(self, image: RawImage, reason: str) -> None:
        """Tell the driver to reject an image."""
        self.ask(
            lambda me, id_: commands.RejectImage(me, id_, image.event.correlation_id, image.position, reason),
        )

    def publication_errors(self) -> list[PublicationError]:
        return self.find(PublicationError)

    def _on_image(self, event: AvailableImage) -> None:
        subscription = self.subscriptions.get(event.subscription_registration_id)
        if subscription is None:
            return
        log = LogBuffer.open(Path(event.log_file), writable=False)
        position = ffi.cast("int64_t *", self.counters.address(event.subscriber_position_counter_id))
        native = lib.fl_client_image_new(log.native, position, event.correlation_id)
        assert native != ffi.NULL
        assert lib.fl_client_subscription_add_image(subscription.native, native) == 0
        subscription.images.append(RawImage(event, log, native))

    def _on_no_image(self, event: UnavailableImage) -> None:
        subscription = self.subscriptions.get(event.subscription_registration_id)
        if subscription is None:
            return
        for image in [one for one in subscription.images if one.event.correlation_id == event.correlation_id]:
            subscription.images.remove(image)
            lib.fl_client_subscription_remove_image(subscription.native, image.native)
            lib.fl_client_image_close(image.native)
            subscription.closed_images.append(image)

    def _drop(self, subscription: RawSubscription) -> None:
        lib.fl_client_subscription_close(subscription.native)
        for image in subscription.images:
            lib.fl_client_subscription_remove_image(subscription.native, image.native)
            lib.fl_client_image_close(image.native)
        for image in (*subscription.images, *subscription.closed_images):
            lib.fl_client_image_free(image.native)
            image.log.close()
        lib.fl_client_subscription_free(subscription.native)

    # ---- end ----

    def close(self, *, tell: bool = True) -> None:
        """Unmap everything.

        :param tell: send CLIENT_CLOSE; without it the client is dead to the driver after its liveness timeout.
        """
        if tell:
            self.send(commands.ClientClose(self.client_id, -1))
        for publication in self.publications.values():
            publication.close()
        for subscription in self.subscriptions.values():
            self._drop(subscription)
        self.publications.clear()
        self.subscriptions.clear()
        self.cnc.close()
