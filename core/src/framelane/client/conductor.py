"""The client's conductor: commands and their answers, images that come and go, and the end of it all (shm 8, 11)."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framelane._native import ffi, lib
from framelane.client.counter import Counter
from framelane.client.errors import (
    ClientClosed,
    ClientError,
    ClientTimeout,
    DriverTimeout,
)
from framelane.client.image import Image
from framelane.client.pending import Handlers, Pending, SubscriptionHandlers
from framelane.client.publication import ExclusivePublication, Publication
from framelane.client.subscription import Subscription
from framelane.errors import FramelaneError
from framelane.protocol import commands, events
from framelane.protocol.commands import Command
from framelane.protocol.events import Event, EventError, decode_event
from framelane.shm.broadcast import BroadcastLapped
from framelane.shm.cnc import CncFile
from framelane.shm.handle import raise_native
from framelane.shm.log_buffer import LogBuffer
from framelane.shm.ring import RingFull

__all__ = ["Conductor"]

#: Closed when the interpreter ends: the native keepalive must not outlive the mapping.
_open: weakref.WeakSet[Conductor] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for conductor in list(_open):
        conductor.close()


_EVENTS_A_CYCLE = 64
_PAUSE_S = 0.0005


class Conductor:
    """One for each client. Any thread may call anything; one at a time does the work."""

    def __init__(
        self,
        cnc: CncFile,
        directory: Path,
        handlers: Handlers,
        *,
        driver_timeout_s: float,
        keepalive_interval_s: float,
        information: str,
    ) -> None:
        self.directory = directory
        self.driver_timeout_s = driver_timeout_s
        self.handlers = handlers
        self._cnc = cnc
        self._ring = cnc.to_driver()
        self._receiver = cnc.receiver()
        self.client_id = self._ring.next_correlation_id()
        self._lock = threading.RLock()
        self._calls: deque[Callable[[], object]] = deque()
        self._calling = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._publications: dict[int, Publication] = {}
        self._subscriptions: dict[int, tuple[Subscription, SubscriptionHandlers]] = {}
        self._counters: dict[int, Counter] = {}
        self._is_closed = False
        self._cause: BaseException | None = None
        self._pid = os.getpid()
        self._keepalive = lib.fl_keepalive_start(
            cnc.native,
            self.client_id,
            int(keepalive_interval_s * 1e9),
            int(driver_timeout_s * 1e3),
            information.encode(),
            -1,
        )
        if self._keepalive == ffi.NULL:
            raise_native(lib.FL_ENOMEM)
        _open.add(self)

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            self.close()

    # ---- commands ----

    def start(self, what: str, make: Callable[[int, int], Command], complete: Callable[[Event], Any]) -> Pending:
        """Send a command whose answer is to come.

        :param what: for errors.
        :param make: from client id and correlation id.
        """
        with self._lock:
            self.require_open()
            command = make(self.client_id, self._ring.next_correlation_id())
            pending = Pending(command, what, complete, time.monotonic() + self.driver_timeout_s)
            self._pending[command.correlation_id] = pending
            try:
                self._send(command)
            except FramelaneError:
                del self._pending[command.correlation_id]
                raise
            return pending

    def is_done(self, pending: Pending) -> bool:
        """Do some work, and say whether a command was answered.

        :raises DriverTimeout: if the driver took too long. A later answer is ignored.
        """
        self.do_work()
        if pending.is_done:
            return True
        self.require_open()
        if time.monotonic() > pending.deadline:
            with self._lock:
                self._pending.pop(pending.command.correlation_id, None)
            raise DriverTimeout(
                f"{pending.what}: no answer from the driver of {self.directory} within {self.driver_timeout_s:g} s; "
                "see whether it runs, and its error log (framelane errors)"
            )
        return False

    def wait(self, pending: Pending) -> Any:
        """Wait for the answer to a command, and return what it made."""
        while not self.is_done(pending):
            time.sleep(_PAUSE_S)
        return pending.result()

    def call(
        self, what: str, make: Callable[[int, int], Command], complete: Callable[[Event], Any] = lambda _: None
    ) -> Any:
        """Send a command and wait for its answer."""
        return self.wait(self.start(what, make, complete))

    def _send(self, command: Command) -> None:
        body = command.encode()
        deadline = time.monotonic() + self.driver_timeout_s
        while True:
            try:
                self._ring.write(command.TYPE, body)
                return
            except RingFull as error:
                if time.monotonic() > deadline:
                    raise DriverTimeout(f"{self.directory}: {error}") from None
                time.sleep(_PAUSE_S)

    def _tell(self, make: Callable[[int, int], Command]) -> None:
        """Send a command whose answer nobody waits for; not when the client is closed, since that says it all."""
        if not self._is_closed:
            self._send(make(self.client_id, self._ring.next_correlation_id()))

    # ---- resources ----

    def add_publication(self, channel: str, stream_id: int, kind: type[Publication]) -> Pending:
        command = commands.AddExclusivePublication if kind is ExclusivePublication else commands.AddPublication

        def complete(event: Event) -> Publication:
            assert isinstance(event, events.PublicationAdded)
            try:
                publication = kind(
                    self,
                    self._cnc,
                    LogBuffer.open(Path(event.log_file)),
                    channel=channel,
                    registration_id=event.correlation_id,
                    original_registration_id=event.registration_id,
                    session_id=event.session_id,
                    stream_id=event.stream_id,
                    publication_limit_id=event.publication_limit_counter_id,
                    channel_status_id=event.channel_status_counter_id,
                )
            except Exception:
                self._tell(
                    lambda client, correlation: commands.RemovePublication(client, correlation, event.correlation_id)
                )
                raise
            self._publications[publication.registration_id] = publication
            return publication

        return self.start(
            f"add publication {channel} stream {stream_id}",
            lambda client, correlation: command(client, correlation, stream_id, channel),
            complete,
        )

    def release_publication(self, publication: Publication, *, revoke: bool) -> None:
        """Called by a publication that closes itself. Nobody waits for the answer."""
        flags = commands.REVOKE if revoke else 0
        with self._lock:
            if self._publications.pop(publication.registration_id, None) is not None:
                self._tell(
                    lambda client, correlation: commands.RemovePublication(
                        client, correlation, publication.registration_id, flags
                    )
                )

    def add_subscription(self, channel: str, stream_id: int, handlers: SubscriptionHandlers) -> Pending:
        def complete(event: Event) -> Subscription:
            assert isinstance(event, events.SubscriptionReady)
            subscription = Subscription(
                self,
                self._cnc,
                channel=channel,
                stream_id=stream_id,
                registration_id=event.correlation_id,
                channel_status_id=event.channel_status_counter_id,
            )
            self._subscriptions[subscription.registration_id] = (subscription, handlers)
            return subscription

        return self.start(
            f"add subscription {channel} stream {stream_id}",
            lambda client, correlation: commands.AddSubscription(client, correlation, -1, stream_id, channel),
            complete,
        )

    def release_subscription(self, subscription: Subscription) -> None:
        """Called by a subscription that closes itself."""
        with self._lock:
            if self._subscriptions.pop(subscription.registration_id, None) is not None:
                self._tell(
                    lambda client, correlation: commands.RemoveSubscription(
                        client, correlation, subscription.registration_id
                    )
                )

    def add_counter(self, type_id: int, label: str, key: bytes) -> Pending:
        def complete(event: Event) -> Counter:
            assert isinstance(event, events.CounterReady)
            counter = Counter(self, self._cnc, event.counter_id, event.correlation_id, is_static=False)
            self._counters[counter.registration_id] = counter
            return counter

        return self.start(
            f"add counter {label!r}",
            lambda client, correlation: commands.AddCounter(client, correlation, type_id, key, label),
            complete,
        )

    def add_static_counter(self, type_id: int, label: str, key: bytes, registration_id: int) -> Pending:
        def complete(event: Event) -> Counter:
            assert isinstance(event, events.StaticCounterReady)
            return Counter(self, self._cnc, event.counter_id, registration_id, is_static=True)

        return self.start(
            f"add static counter {label!r}",
            lambda client, correlation: commands.AddStaticCounter(
                client, correlation, registration_id, type_id, key, label
            ),
            complete,
        )

    def release_counter(self, counter: Counter) -> None:
        """Called by a counter that closes itself."""
        with self._lock:
            if self._counters.pop(counter.registration_id, None) is not None:
                self._tell(
                    lambda client, correlation: commands.RemoveCounter(client, correlation, counter.registration_id)
                )

    def add_destination(self, publication: Publication, channel: str) -> int:
        original = publication.original_registration_id
        pending = self.start(
            f"add destination {channel}",
            lambda client, correlation: commands.AddDestination(client, correlation, original, channel),
            lambda _: None,
        )
        self.wait(pending)
        return pending.command.correlation_id

    def remove_destination(self, publication: Publication, destination: str | int) -> None:
        original = publication.original_registration_id

        def make(client: int, correlation: int) -> Command:
            if isinstance(destination, int):
                return commands.RemoveDestinationById(client, correlation, original, destination)
            return commands.RemoveDestination(client, correlation, original, destination)

        self.call(f"remove destination {destination}", make)

    def add_receive_destination(self, subscription: Subscription, channel: str) -> int:
        pending = self.start(
            f"add destination {channel}",
            lambda client, correlation: commands.AddReceiveDestination(
                client, correlation, subscription.registration_id, channel
            ),
            lambda _: None,
        )
        self.wait(pending)
        return pending.command.correlation_id

    def remove_receive_destination(self, subscription: Subscription, channel: str) -> None:
        self.call(
            f"remove destination {channel}",
            lambda client, correlation: commands.RemoveReceiveDestination(
                client, correlation, subscription.registration_id, channel
            ),
        )

    # ---- events ----

    def do_work(self) -> int:
        """Take what the driver transmitted, and call the handlers; returns how much there was."""
        work = 0
        if self.is_closed:
            return 0
        with self._lock:
            try:
                while (
                    not self._is_closed and work < _EVENTS_A_CYCLE and (record := self._receiver.receive()) is not None
                ):
                    work += 1
                    self._take(record.type_id, record.body)
                self._check_life()
            except BroadcastLapped as error:
                self._end(ClientError(f"client {self.client_id} is closed: {error}"))
        self._call_handlers()
        return work

    def _take(self, type_id: int, body: bytes) -> None:
        try:
            event = decode_event(type_id, body)
        except EventError as error:
            self._report(error)
            return
        match event:
            case events.ErrorResponse():
                self._answer(event.offending_command_correlation_id, event)
            case events.AvailableImage():
                self._on_available_image(event)
            case events.UnavailableImage():
                self._on_unavailable_image(event)
            case events.UnavailableCounter():
                self._later(self.handlers.on_unavailable_counter, event.registration_id, event.counter_id)
            case events.ClientTimeout():
                if event.client_id == self.client_id:
                    self._end(ClientTimeout(f"the driver took client {self.client_id} for dead and dropped it"))
            case events.PublicationError():
                if any(p.original_registration_id == event.registration_id for p in self._publications.values()):
                    self._later(self.handlers.on_publication_error, event)
            case events.CounterReady():
                self._answer(event.correlation_id, event)
                self._later(self.handlers.on_available_counter, event.correlation_id, event.counter_id)
            case _:
                self._answer(getattr(event, "correlation_id", -1), event)

    def _answer(self, correlation_id: int, event: Event) -> None:
        pending = self._pending.pop(correlation_id, None)
        if pending is not None:
            pending.answer(event)

    def _on_available_image(self, event: events.AvailableImage) -> None:
        found = self._subscriptions.get(event.subscription_registration_id)
        if found is None:
            return
        subscription, handlers = found
        try:
            image = Image(
                self._cnc,
                LogBuffer.open(Path(event.log_file)),
                correlation_id=event.correlation_id,
                subscription_registration_id=event.subscription_registration_id,
                session_id=event.session_id,
                stream_id=event.stream_id,
                subscriber_position_id=event.subscriber_position_counter_id,
                source_identity=event.source_identity,
            )
            subscription.add_image(image)
        except (FramelaneError, IndexError) as error:
            self._report(error)
            return
        self._later(handlers.on_available_image or self.handlers.on_available_image, image)

    def _on_unavailable_image(self, event: events.UnavailableImage) -> None:
        found = self._subscriptions.get(event.subscription_registration_id)
        if found is None:
            return
        subscription, handlers = found
        for image in subscription.images:
            if image.correlation_id == event.correlation_id:
                subscription.remove_image(image)
                self._later(handlers.on_unavailable_image or self.handlers.on_unavailable_image, image)

    def _later(self, handler: Callable[..., object] | None, *arguments: object) -> None:
        if handler is not None:
            self._calls.append(lambda: handler(*arguments))

    def _report(self, error: Exception) -> None:
        self._later(self._on_error, error)

    def _on_error(self, error: Exception) -> None:
        if self.handlers.on_error is not None:
            self.handlers.on_error(error)
        else:
            print(f"framelane client {self.client_id}:", file=sys.stderr)
            traceback.print_exception(error)

    def _call_handlers(self) -> None:
        """Call the handlers in order. A call that is made by a handler leaves the rest to the outer one."""
        while self._calls and self._calling.acquire(blocking=False):
            try:
                while self._calls:
                    self._call(self._calls.popleft())
            finally:
                self._calling.release()

    def _call(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self._on_error(error)

    # ---- life ----

    def _check_life(self) -> None:
        if self._is_closed:
            return
        state = lib.fl_keepalive_state(self._keepalive)
        if state == lib.FL_KEEPALIVE_DRIVER_CLOSED:
            self._end(DriverTimeout(f"the driver of {self.directory} shut down"))
        elif state == lib.FL_KEEPALIVE_DRIVER_DEAD:
            self._end(
                DriverTimeout(
                    f"the driver of {self.directory} gave no sign of life for {self.driver_timeout_s:g} s; restart it"
                )
            )
        elif state == lib.FL_KEEPALIVE_COUNTER_LOST:
            self._end(ClientTimeout(f"the driver freed the heartbeat of client {self.client_id}: it took it for dead"))
        elif state == lib.FL_KEEPALIVE_NOT_SERVICED:
            self._end(
                ClientTimeout(
                    f"client {self.client_id} stood still for longer than the driver's client liveness timeout: "
                    "the process was stopped, or the machine slept"
                )
            )

    @property
    def is_closed(self) -> bool:
        return self._is_closed or os.getpid() != self._pid

    def require_open(self) -> None:
        """:raises ClientClosed: if the client is closed; its cause is why."""
        if os.getpid() != self._pid:
            raise ClientClosed(f"the client was opened by process {self._pid}; open another one after the fork")
        if self._is_closed:
            raise ClientClosed(
                f"client {self.client_id} is closed" + (f": {self._cause}" if self._cause else "")
            ) from (self._cause)

    def close(self) -> None:
        """Close everything, and tell the driver."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if not self._is_closed:
                with contextlib.suppress(FramelaneError):
                    self._ring.write(
                        commands.CommandType.CLIENT_CLOSE, commands.ClientClose(self.client_id, -1).encode()
                    )
                self._end(None)
        self._call_handlers()

    def _end(self, cause: Exception | None) -> None:
        """Close everything without a word to the driver. Lock held."""
        self._is_closed = True
        self._cause = cause
        lib.fl_keepalive_stop(self._keepalive)
        for publication in self._publications.values():
            publication.mark_closed()
        for subscription, handlers in self._subscriptions.values():
            images = subscription.images
            subscription.mark_closed()
            for image in images:
                self._later(handlers.on_unavailable_image or self.handlers.on_unavailable_image, image)
        for counter in self._counters.values():
            counter.mark_closed()
        self._publications.clear()
        self._subscriptions.clear()
        self._counters.clear()
        for pending in self._pending.values():
            pending.error = ClientClosed(f"{pending.what}: the client was closed")
            pending.error.__cause__ = cause
            pending.is_done = True
        self._pending.clear()
        self._later(self.handlers.on_close, cause)
