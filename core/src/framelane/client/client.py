"""The client of a media driver."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Self

from framelane.client.conductor import Conductor
from framelane.client.counter import Counter
from framelane.client.image import Image
from framelane.client.pending import Handlers, Pending, SubscriptionHandlers
from framelane.client.publication import ExclusivePublication, Publication
from framelane.client.subscription import Subscription
from framelane.protocol import commands, events
from framelane.protocol.events import Event
from framelane.shm.cnc import CncFile, attach
from framelane.shm.counters import CountersReader
from framelane.shm.directory import resolve_directory

__all__ = ["Client"]

_LONGEST_NAME = 100


class Client:
    """A connection to the driver of a directory.

    A thread of its own takes what the driver transmits, unless ``use_invoker`` is set: then the application calls
    :meth:`do_work`, at least every few milliseconds. The sign of life to the driver comes from a native thread either
    way, so that an application may hold the interpreter for as long as it likes.

    Any thread may use a client. After a fork it is inert in the child, which opens its own.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        driver_timeout: float | None = None,
        keepalive_interval: float = 0.5,
        idle_sleep: float = 0.016,
        client_name: str | None = None,
        use_invoker: bool = False,
        on_available_image: Callable[[Image], object] | None = None,
        on_unavailable_image: Callable[[Image], object] | None = None,
        on_available_counter: Callable[[int, int], object] | None = None,
        on_unavailable_counter: Callable[[int, int], object] | None = None,
        on_publication_error: Callable[[events.PublicationError], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        on_close: Callable[[BaseException | None], object] | None = None,
    ) -> None:
        """Attach to a driver, waiting for it at most ``driver_timeout``.

        :param directory: else ``AERON_DIR``, else ``/dev/shm/aeron-USER``.
        :param driver_timeout: seconds without a sign of life after which the driver is dead, and within which it
            answers; else ``AERON_DRIVER_TIMEOUT`` (milliseconds), else 10.
        :param keepalive_interval: seconds between signs of life to the driver.
        :param idle_sleep: seconds between looks of the client's thread at what the driver transmitted.
        :param client_name: shown in the heartbeat counter's label, at most 100 characters; else ``AERON_CLIENT_NAME``.
        :param on_available_counter: called with registration id and counter id; ``on_unavailable_counter`` too.
        :param on_publication_error: called when a receiver rejected an image of one of our publications.
        :param on_error: called with errors that no call can raise, those of handlers included.
        :param on_close: called once, with why, or ``None`` if the application closed the client.
        :raises DriverNotActive: if there is no driver.
        :raises ValueError: if an argument is out of range.
        """
        timeout_s = _driver_timeout(driver_timeout)
        name = os.environ.get("AERON_CLIENT_NAME", "") if client_name is None else client_name
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"client_name has {len(name)} characters, at most {_LONGEST_NAME}")
        if not 0 < keepalive_interval < timeout_s:
            raise ValueError(f"keepalive_interval={keepalive_interval} is not in 0 to driver_timeout={timeout_s}")
        self.directory = resolve_directory(directory)
        self._cnc = attach(self.directory, driver_timeout_ms=int(timeout_s * 1000))
        self._conductor = Conductor(
            self._cnc,
            self.directory,
            Handlers(
                on_available_image,
                on_unavailable_image,
                on_available_counter,
                on_unavailable_counter,
                on_publication_error,
                on_error,
                on_close,
            ),
            driver_timeout_s=timeout_s,
            keepalive_interval_s=keepalive_interval,
            information=_information(name),
        )
        self._idle_sleep = idle_sleep
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if not use_invoker:
            self._thread = threading.Thread(target=self._run, name="client-conductor", daemon=True)
            self._thread.start()

    # ---- work ----

    def do_work(self) -> int:
        """Take what the driver transmitted, and call the handlers; returns how much there was. An invoking application
        calls this; it does no harm elsewhere."""
        return self._conductor.do_work()

    def _run(self) -> None:
        while not self._stopping.is_set() and not self._conductor.is_closed:
            if self._conductor.do_work() == 0:
                self._stopping.wait(self._idle_sleep)

    # ---- resources ----

    def add_publication(self, channel: str, stream_id: int) -> Publication:
        """Add a publication, which other clients of the driver may share.

        :raises RegistrationError: if the driver refuses it.
        :raises DriverTimeout: if it does not answer.
        """
        publication: Publication = self._conductor.wait(self.start_publication(channel, stream_id))
        return publication

    def add_exclusive_publication(self, channel: str, stream_id: int) -> ExclusivePublication:
        """Add a publication with a session of its own."""
        pending = self.start_publication(channel, stream_id, exclusive=True)
        publication: ExclusivePublication = self._conductor.wait(pending)
        return publication

    def add_subscription(
        self,
        channel: str,
        stream_id: int,
        *,
        on_available_image: Callable[[Image], object] | None = None,
        on_unavailable_image: Callable[[Image], object] | None = None,
    ) -> Subscription:
        """Add a subscription.

        :param on_available_image: in place of the client's; ``on_unavailable_image`` too.
        """
        subscription: Subscription = self._conductor.wait(
            self.start_subscription(
                channel, stream_id, on_available_image=on_available_image, on_unavailable_image=on_unavailable_image
            )
        )
        return subscription

    def add_counter(self, type_id: int, label: str, key: bytes = b"") -> Counter:
        """Add a counter: a word that every process can read.

        :param type_id: by convention 1000 or more for applications.
        :param label: at most 380 bytes; ``key`` at most 112.
        """
        counter: Counter = self._conductor.wait(self.start_counter(type_id, label, key))
        return counter

    def add_static_counter(self, type_id: int, label: str, key: bytes = b"", *, registration_id: int) -> Counter:
        """Add, or find, a counter that outlives its client."""
        _check_counter(label, key)
        counter: Counter = self._conductor.wait(
            self._conductor.add_static_counter(type_id, label, key, registration_id)
        )
        return counter

    def start_publication(self, channel: str, stream_id: int, *, exclusive: bool = False) -> Pending:
        """Ask for a publication without waiting; see :meth:`is_done`."""
        return self._conductor.add_publication(channel, stream_id, ExclusivePublication if exclusive else Publication)

    def start_subscription(
        self,
        channel: str,
        stream_id: int,
        *,
        on_available_image: Callable[[Image], object] | None = None,
        on_unavailable_image: Callable[[Image], object] | None = None,
    ) -> Pending:
        """Ask for a subscription without waiting; see :meth:`is_done`."""
        handlers = SubscriptionHandlers(on_available_image, on_unavailable_image)
        return self._conductor.add_subscription(channel, stream_id, handlers)

    def start_counter(self, type_id: int, label: str, key: bytes = b"") -> Pending:
        """Ask for a counter without waiting; see :meth:`is_done`."""
        _check_counter(label, key)
        return self._conductor.add_counter(type_id, label, key)

    def is_done(self, pending: Pending) -> bool:
        """Do some work, and say whether the driver answered; then ``pending.result()`` returns or raises.

        :raises DriverTimeout: if it took too long.
        """
        return self._conductor.is_done(pending)

    def next_session_id(self, stream_id: int) -> int:
        """Return a session id that no publication of the driver uses for a stream."""

        def session_id(event: Event) -> int:
            assert isinstance(event, events.NextAvailableSessionId)
            return event.next_session_id

        result: Any = self._conductor.call(
            f"next session id of stream {stream_id}",
            lambda client, correlation: commands.GetNextAvailableSessionId(client, correlation, stream_id),
            session_id,
        )
        return int(result)

    def reject_image(self, image: Image, reason: str) -> None:
        """Refuse an image: its publication hears why, and the image becomes unavailable."""
        position = image.position
        self._conductor.call(
            f"reject image {image.correlation_id}",
            lambda client, correlation: commands.RejectImage(
                client, correlation, image.correlation_id, position, reason
            ),
        )

    # ---- what the driver shows ----

    @property
    def client_id(self) -> int:
        return self._conductor.client_id

    @property
    def counters(self) -> CountersReader:
        """All counters of the driver."""
        return self._cnc.counters()

    @property
    def cnc(self) -> CncFile:
        """The driver's command and control file."""
        return self._cnc

    @property
    def is_closed(self) -> bool:
        """Was the client closed, by the application or because it or the driver died?"""
        return self._conductor.is_closed

    def close(self) -> None:
        """Close everything that was added. Memory is unmapped when nothing refers to it any more."""
        self._stopping.set()
        self._conductor.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.client_id} of {self.directory}{' closed' if self.is_closed else ''}>"


def _driver_timeout(explicit: float | None) -> float:
    if explicit is None:
        text = os.environ.get("AERON_DRIVER_TIMEOUT", "10000")
        try:
            explicit = int(text) / 1000
        except ValueError:
            raise ValueError(f"AERON_DRIVER_TIMEOUT={text!r} is not a number of milliseconds") from None
    if not explicit > 0:
        raise ValueError(f"driver_timeout={explicit} is not above 0")
    return explicit


def _information(name: str) -> str:
    from framelane import __version__

    return f" name={name} version={__version__} commit=framelane"


def _check_counter(label: str, key: bytes) -> None:
    if len(label.encode()) > 380 or len(key) > 112:
        raise ValueError(f"a counter takes a label of 380 and a key of 112 bytes, not {len(label)} and {len(key)}")
