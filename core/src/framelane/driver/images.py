"""Images of UDP streams (wire 4.3, 4.10; shm 9.4, 9.7, 9.8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from framelane._native import lib
from framelane.channel import Group, UntetheredTimeouts
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_text
from framelane.driver.links import Link, Links
from framelane.driver.native import DataPlane, PlaneImage
from framelane.driver.plane_params import ImageParams, PlaneEvent
from framelane.driver.receive_endpoints import ReceiveEndpoint, ReceiveEndpoints
from framelane.driver.resources import Lane, Steps
from framelane.driver.services import Services
from framelane.driver.storage import LogFile
from framelane.driver.stream import Stream
from framelane.driver.subscriptions import Subscription, Subscriptions
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.counter_types import CounterType
from framelane.shm.log_buffer import LogParams, LogType
from framelane.shm.loss_report import LossReport

__all__ = ["Image", "Images"]

_SETUP_HAS_GROUP = 0x40  # wire 2.6
_SETUP_SENDS_RESPONSE = 0x80
_CONGESTION_CONTROLS = {"static": lib.FL_CONGESTION_CONTROL_STATIC, "cubic": lib.FL_CONGESTION_CONTROL_CUBIC}
_CUBIC_COUNTERS = ("rcv-cc-cubic-rtt", "rcv-cc-cubic-wnd")
_MIN_MTU_LENGTH = 32
_MAX_MTU_LENGTH = 65504


@dataclass(eq=False)
class Image:
    """One image; a source of subscriptions.

    :ivar counter_ids: high-water mark, receiver position, NAKs sent; with CUBIC round trip time and window.
    """

    correlation_id: int
    session_id: int
    stream_id: int
    endpoint: ReceiveEndpoint
    channel: str  #: of the first matching subscription
    is_rejoin: bool
    untethered: UntetheredTimeouts  #: of the first matching subscription
    source_identity: str
    log: LogFile
    counter_ids: list[int]
    data_plane: DataPlane
    plane: PlaneImage
    wants_response: bool = False  #: its publication asked for a response publication (wire 3.10)
    response_session_id: int | None = None  #: which it is told of
    links: dict[int, Link] = field(default_factory=dict)

    def respond(self, session_id: int) -> None:
        """Tell the publication the session of the responses, until they are received."""
        self.response_session_id = session_id
        self.data_plane.image_respond(self.plane, session_id)

    def link(self, subscription_id: int, counter_id: int) -> int:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.image_link(self.plane, subscription_id, counter_id)

    def unlink(self, subscription_id: int) -> None:
        """See :class:`framelane.driver.links.Source`."""
        self.data_plane.image_unlink(self.plane, subscription_id)

    def is_behind(self, subscription_id: int) -> bool:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.image_is_behind(self.plane, subscription_id)


class Images:
    """All images. Control thread."""

    def __init__(
        self,
        services: Services,
        links: Links,
        endpoints: ReceiveEndpoints,
        subscriptions: Subscriptions,
        loss_report: LossReport,
    ) -> None:
        self._services = services
        self._links = links
        self._endpoints = endpoints
        self._subscriptions = subscriptions
        self._loss_report = loss_report
        self._images: dict[int, Image] = {}
        self._lane = Lane(services.slow_work)

    def __iter__(self) -> Iterator[Image]:
        return iter(list(self._images.values()))

    def find(self, correlation_id: int) -> Image | None:
        """Return an image by what clients know it by."""
        return self._images.get(correlation_id)

    def stop_responding(self, correlation_id: int, session_id: int) -> None:
        """The responses in a session are received, or over: their request's publication need not be told of them."""
        image = self._images.get(correlation_id)
        if image is not None and image.response_session_id == session_id:
            image.response_session_id = None
            self._services.plane.image_stop_responding(image.plane)

    def on(self, endpoint: ReceiveEndpoint) -> Iterator[Image]:
        """Return the images of an endpoint."""
        return (one for one in self if one.endpoint is endpoint)

    def advance(self) -> int:
        """Go on making images."""
        return self._lane.advance()

    def on_setup(self, event: PlaneEvent) -> None:
        """A stream has no image yet: make one."""
        self._lane.start(self._make_or_refuse(event))

    def _make_or_refuse(self, event: PlaneEvent) -> Steps[None]:
        endpoint = self._endpoints.find_id(event.id)
        if endpoint is None:
            return
        endpoint.references += 1  # while a log is being made
        is_made = False
        try:
            is_made = yield from self._make(endpoint, event)
        except Exception as error:
            what = f"image of session {event.session_id} stream {event.stream_id} on {endpoint.channel.uri}"
            self._services.errors.record_exception(error, what)
        finally:
            if not is_made:
                try:
                    self._services.plane.receive_endpoint_refuse_setup(
                        endpoint.plane, event.stream_id, event.session_id
                    )
                finally:
                    self._endpoints.release(endpoint)

    def _make(self, endpoint: ReceiveEndpoint, event: PlaneEvent) -> Steps[bool]:
        """Make an image, which keeps the caller's reference to the endpoint; ``False``: nobody wants it."""
        services = self._services
        matching = self._subscriptions.matching(endpoint, event.stream_id, event.session_id)
        if not matching or event.source is None:
            return False
        first = matching[0]
        _check_setup(event, first, endpoint)
        correlation_id = services.next_correlation_id()
        log = yield from services.storage.create_image(self._log_params(correlation_id, event, first, endpoint))
        counter_ids: list[int] = []
        position_ids: list[int] = []
        try:
            matching = self._subscriptions.matching(endpoint, event.stream_id, event.session_id)
            if not matching:
                services.storage.remove(log)
                return False
            first = matching[0]
            counter_ids = self._allocate_counters(correlation_id, event, first)
            position_ids = self._links.reserve(matching)
            position = _term_count(event) * event.term_length + event.term_offset
            is_cubic = first.params.congestion_control == "cubic"
            plane = services.plane.image_add(
                endpoint.plane,
                log.native,
                event.source,
                ImageParams(
                    correlation_id=correlation_id,
                    initial_window_length=first.params.receiver_window_length,
                    congestion_control=_CONGESTION_CONTROLS[first.params.congestion_control],
                    join_position=position,
                    is_reliable=first.params.is_reliable,
                    treat_as_group=_is_group(first, endpoint, event),
                    nak_delay_ns=-1 if first.params.nak_delay_ns is None else first.params.nak_delay_ns,
                    rcv_hwm_counter_id=counter_ids[0],
                    rcv_pos_counter_id=counter_ids[1],
                    rcv_naks_sent_counter_id=counter_ids[2],
                    rtt_counter_id=counter_ids[3] if is_cubic else -1,
                    window_counter_id=counter_ids[4] if is_cubic else -1,
                ),
                [(one.registration_id, counter) for one, counter in zip(matching, position_ids, strict=True)],
            )
        except BaseException:
            self._links.release(position_ids)
            for counter_id in reversed(counter_ids):
                services.counters.free(counter_id)
            services.storage.remove(log)
            raise
        image = self._images[correlation_id] = Image(
            correlation_id=correlation_id,
            session_id=event.session_id,
            stream_id=event.stream_id,
            endpoint=endpoint,
            channel=first.channel,
            is_rejoin=first.params.is_rejoin,
            untethered=first.params.untethered,
            source_identity=str(event.source),
            log=log,
            counter_ids=counter_ids,
            data_plane=services.plane,
            plane=plane,
            wants_response=bool(event.flags & _SETUP_SENDS_RESPONSE),
        )
        self._links.show_first(matching, position_ids, image, position)
        return True

    def _log_params(
        self, correlation_id: int, event: PlaneEvent, first: Subscription, endpoint: ReceiveEndpoint
    ) -> LogParams:
        untethered = first.params.untethered
        params = LogParams(
            type=LogType.IMAGE,
            correlation_id=correlation_id,
            session_id=event.session_id,
            stream_id=event.stream_id,
            initial_term_id=event.initial_term_id,
            term_length=event.term_length,
            mtu_length=event.mtu_length,
            page_size=self._services.settings.file_page_size,
            receiver_window_length=min(first.params.receiver_window_length, event.term_length // 2),
            untethered_window_limit_timeout_ns=untethered.window_limit_ns,
            untethered_resting_timeout_ns=untethered.resting_ns,
            untethered_linger_timeout_ns=untethered.linger_ns or 0,
            group=_is_group(first, endpoint, event),
            rejoin=first.params.is_rejoin,
            reliable=first.params.is_reliable,
            sparse=first.params.is_sparse,
            tether=first.params.is_tethered,
        )
        return self._services.storage.buffers.fill(params, endpoint.channel.params)

    def _allocate_counters(self, correlation_id: int, event: PlaneEvent, first: Subscription) -> list[int]:
        counters = self._services.counters
        stream = Stream(correlation_id, event.session_id, event.stream_id, first.channel)
        position = _term_count(event) * event.term_length + event.term_offset
        allocated: list[int] = []
        try:
            for type_id, name, value in (
                (CounterType.RECEIVER_HWM, "rcv-hwm", position),
                (CounterType.RECEIVER_POSITION, "rcv-pos", position),
                (CounterType.RECEIVER_NAKS_SENT, "rcv-naks-sent", 0),
            ):
                allocated.append(counters.allocate_stream(type_id, name, stream, owner_id=first.client_id, value=value))
            for name in _CUBIC_COUNTERS if first.params.congestion_control == "cubic" else ():
                allocated.append(counters.allocate_stream(CounterType.PER_IMAGE, name, stream, owner_id=-1))
        except BaseException:
            for counter_id in reversed(allocated):
                counters.free(counter_id)
            raise
        return allocated

    def reject(self, correlation_id: int, reason: bytes) -> bool:
        """Let the receiver reject an image; ``False`` if there is no such image."""
        image = self._images.get(correlation_id)
        if image is None:
            return False
        self._services.plane.image_reject(image.plane, reason)
        return True

    def on_event(self, event: PlaneEvent) -> None:
        """Follow what the receiver says of an image."""
        image = self._images.get(event.id)
        if image is None:
            return
        if event.mask & lib.FL_EVENT_IMAGE_LOSS:
            self._report_loss(image)
        if event.mask & lib.FL_EVENT_IMAGE_UNAVAILABLE:
            self._links.announce_unavailable(image)
            if image.is_rejoin:
                self._services.plane.receive_endpoint_remove_cool_down(
                    image.endpoint.plane, image.stream_id, image.session_id
                )
        if event.mask & lib.FL_EVENT_IMAGE_DONE:
            self._discard(image)

    def _report_loss(self, image: Image) -> None:
        """Make the loss report entry of an image; the receiver keeps it up to date (shm 6.2)."""
        lost, _ = self._services.plane.image_loss(image.plane)
        record = self._loss_report.create(
            bytes_lost=lost,
            now_ms=self._services.clock.epoch_ms(),
            session_id=image.session_id,
            stream_id=image.stream_id,
            channel=wire_text(image.channel),
            source=image.source_identity,
        )
        self._services.plane.image_set_loss_entry(image.plane, record)

    def _discard(self, image: Image) -> None:
        """Free an image, in whatever state."""
        del self._images[image.correlation_id]
        self._services.plane.image_remove(image.plane)
        self._links.forget_all(image)
        for counter_id in reversed(image.counter_ids):
            self._services.counters.free(counter_id)
        self._services.storage.remove(image.log)
        self._endpoints.release(image.endpoint)

    def close(self) -> None:
        """Free all of them, after the agents have stopped."""
        self._lane.close()
        for image in self:
            self._discard(image)


def _term_count(event: PlaneEvent) -> int:
    return (event.active_term_id - event.initial_term_id) & 0xFFFFFFFF


def _is_group(first: Subscription, endpoint: ReceiveEndpoint, event: PlaneEvent) -> bool:
    if first.params.group is not Group.INFER:
        return first.params.group is Group.TRUE
    return endpoint.channel.is_multicast or bool(event.flags & _SETUP_HAS_GROUP)


def _check_setup(event: PlaneEvent, first: Subscription, endpoint: ReceiveEndpoint) -> None:
    """Check a SETUP against the subscription's window and the socket (wire 4.3 step 2).

    :raises CommandError: with what does not fit.
    """
    mtu_length, window = event.mtu_length, first.params.receiver_window_length
    if not _MIN_MTU_LENGTH <= mtu_length <= _MAX_MTU_LENGTH or mtu_length % 32:
        raise CommandError(
            ErrorCode.GENERIC_ERROR, f"mtuLength={mtu_length} of the source is no multiple of 32 from 32 to 65504"
        )
    if mtu_length > window:
        raise CommandError(
            ErrorCode.GENERIC_ERROR,
            f"mtuLength={mtu_length} of the source exceeds the initial window of {window}; give a larger rcv-wnd",
        )
    granted = endpoint.opened.receive_buffer_granted
    if granted and max(window, mtu_length) > granted:
        raise CommandError(
            ErrorCode.GENERIC_ERROR,
            f"initial window {window} or mtuLength={mtu_length} exceeds SO_RCVBUF={granted}; give a larger so-rcvbuf",
        )
