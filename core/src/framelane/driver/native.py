"""The data plane as the control plane calls it: ``core/c/src/api/driver.h`` and its parts ``publications.h`` and
``images.h``, typed, with errors raised.

Method names are those of the headers without their prefix; the headers are the contract. Everything but
:meth:`DataPlane.wake` is called on the control thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NewType

from framelane._native import ffi, lib
from framelane.driver.plane_params import (
    EndpointParams,
    ImageParams,
    IpcPublicationParams,
    NetworkPublicationParams,
    OpenedEndpoint,
    PlaneEvent,
    ReceiveEndpointParams,
    SendEndpointParams,
    native_address,
)
from framelane.errors import NativeError
from framelane.netstack.holders import describe_holders
from framelane.transport.address import Address

__all__ = [
    "DataPlane",
    "PlaneImage",
    "PlaneIpcPublication",
    "PlanePublication",
    "PlaneReceiveEndpoint",
    "PlaneSendEndpoint",
    "NOT_THERE",
    "TRY_AGAIN",
]

# What the data plane gave for an object; NewType keeps one kind from being passed for another.
PlaneSendEndpoint = NewType("PlaneSendEndpoint", object)
PlaneReceiveEndpoint = NewType("PlaneReceiveEndpoint", object)
PlanePublication = NewType("PlanePublication", object)
PlaneIpcPublication = NewType("PlaneIpcPublication", object)
PlaneImage = NewType("PlaneImage", object)

#: ``NativeError.code`` of "not now" and of "no such thing".
TRY_AGAIN = 11
NOT_THERE = 2

_COMMAND_CAPACITY = 1 << 20


class DataPlane:
    """The agents of one driver and what they own.

    :param config: an ``fl_driver_config_t *``; copied.
    :param keep: what the configuration points to, kept as long as the data plane.
    """

    def __init__(self, config: Any, keep: object = None) -> None:
        self._keep = keep
        self._driver = _pointer(lib.fl_driver_new(config))
        self._wake_lock = Lock()
        self._command = ffi.new("uint8_t[]", _COMMAND_CAPACITY)
        self._type_id = ffi.new("int32_t *")
        self._event = ffi.new("fl_driver_event_t *")
        self._address = ffi.new("fl_address_t *")

    # ---- life ----

    def start(self) -> None:
        """Start the agents' threads."""
        _check(lib.fl_driver_start(self._driver))

    def invoke(self) -> int:
        """Run one duty cycle of every agent here; returns the work done."""
        return _check(lib.fl_driver_invoke(self._driver))

    def stop(self) -> None:
        """Stop the agents; later calls execute on the caller."""
        _check(lib.fl_driver_stop(self._driver))

    def free(self) -> None:
        """Free it, after every object was removed and :meth:`stop`. Nothing in a forked child."""
        with self._wake_lock:
            lib.fl_driver_free(self._driver)
            self._driver = ffi.NULL

    # ---- what the control plane waits for ----

    def wait(self, wanted: int, timeout_ns: int) -> int:
        """Wait without the GIL for ``FL_WAIT_*`` bits; returns those that are there."""
        return _check(lib.fl_driver_wait(self._driver, wanted, timeout_ns))

    def wake(self) -> None:
        """End a wait. Any thread, also when the data plane is being freed or was."""
        with self._wake_lock:
            if self._driver != ffi.NULL:
                lib.fl_driver_wake(self._driver)

    def next_command(self) -> tuple[int, bytes] | None:
        """Take the next command: type id and body.

        :raises NativeError: it was longer than any command can be, and was skipped.
        """
        length = lib.fl_driver_next_command(self._driver, self._type_id, self._command, _COMMAND_CAPACITY)
        if length == -TRY_AGAIN:
            return None
        _check(length)
        return self._type_id[0], bytes(ffi.buffer(self._command, length))

    def next_event(self) -> PlaneEvent | None:
        """Take the next event."""
        if not _check(lib.fl_driver_next_event(self._driver, self._event)):
            return None
        return PlaneEvent.from_native(self._event)

    def set_has_clients(self, has_clients: bool) -> None:
        """Tell the agents how long they may sleep."""
        lib.fl_driver_set_has_clients(self._driver, has_clients)

    def add_client(self, client_id: int, heartbeat_counter_id: int) -> None:
        """Let keepalive commands of a client refresh its heartbeat."""
        _check(lib.fl_driver_add_client(self._driver, client_id, heartbeat_counter_id))

    def remove_client(self, client_id: int) -> None:
        """Forget a client."""
        _check(lib.fl_driver_remove_client(self._driver, client_id))

    # ---- transports and endpoints ----

    def add_transport(self, binding: Any) -> None:
        """Put an open transport, an ``fl_binding_t *``, under the agents."""
        _check(lib.fl_driver_add_transport(self._driver, binding))

    def remove_transport(self, binding: Any) -> None:
        """Take it off."""
        _check(lib.fl_driver_remove_transport(self._driver, binding))

    def is_transport_gone(self, binding: Any) -> bool:
        """Return whether an agent has seen that a transport answers ``-FL_ENODEV``."""
        return bool(lib.fl_driver_is_transport_gone(self._driver, binding))

    def send_endpoint_open(
        self, binding: Any, params: EndpointParams, send: SendEndpointParams
    ) -> tuple[PlaneSendEndpoint, OpenedEndpoint]:
        """Open a send endpoint and hand it to the sender."""
        native, native_send = params.to_native(), ffi.new("fl_send_endpoint_params_t *", vars(send))
        with _naming_holders(params.bind):
            endpoint = _pointer(lib.fl_send_endpoint_open(self._driver, binding, native, native_send))
        return PlaneSendEndpoint(endpoint), OpenedEndpoint.from_native(native)

    def send_endpoint_detach(self, endpoint: PlaneSendEndpoint) -> None:
        """Take it from a transport whose device was lost; its publications live on."""
        _check(lib.fl_send_endpoint_detach(self._driver, endpoint))

    def send_endpoint_attach(self, endpoint: PlaneSendEndpoint, binding: Any, params: EndpointParams) -> OpenedEndpoint:
        """Open a detached endpoint on a transport."""
        native = params.to_native()
        with _naming_holders(params.bind):
            _check(lib.fl_send_endpoint_attach(self._driver, endpoint, binding, native))
        return OpenedEndpoint.from_native(native)

    def send_endpoint_close(self, endpoint: PlaneSendEndpoint) -> None:
        """Close a send endpoint without publications."""
        _check(lib.fl_send_endpoint_close(self._driver, endpoint))

    def send_endpoint_local_address(self, endpoint: PlaneSendEndpoint) -> Address | None:
        """Return the address it is bound to."""
        _check(lib.fl_send_endpoint_local_address(endpoint, self._address))
        return Address.from_native(self._address)

    def send_endpoint_set_peer(self, endpoint: PlaneSendEndpoint, peer: Address) -> None:
        """Send to another address from now on."""
        _check(lib.fl_send_endpoint_set_peer(self._driver, endpoint, native_address(peer)))

    def send_endpoint_add_destination(self, endpoint: PlaneSendEndpoint, identifier: int, to: Address | None) -> None:
        """Send to one more destination.

        :param to: ``None``: its name does not resolve.
        """
        _check(lib.fl_send_endpoint_add_destination(self._driver, endpoint, identifier, native_address(to)))

    def send_endpoint_set_destination(self, endpoint: PlaneSendEndpoint, identifier: int, to: Address) -> None:
        """Send to another address in place of a destination's."""
        _check(lib.fl_send_endpoint_set_destination(self._driver, endpoint, identifier, native_address(to)))

    def send_endpoint_remove_destination(self, endpoint: PlaneSendEndpoint, identifier: int) -> None:
        """Send to a destination no more."""
        _check(lib.fl_send_endpoint_remove_destination(self._driver, endpoint, identifier))

    def send_endpoint_destination_activity(self, endpoint: PlaneSendEndpoint, identifier: int) -> int:
        """Return the monotonic time of a destination's last status message, at first of its adding."""
        return _check(lib.fl_send_endpoint_destination_activity(self._driver, endpoint, identifier))

    def send_endpoint_time_of_last_sm(self, endpoint: PlaneSendEndpoint) -> int:
        """Return the monotonic time of the last accepted status message, nanoseconds."""
        return int(lib.fl_send_endpoint_time_of_last_sm(endpoint))

    def receive_endpoint_open(
        self, binding: Any, params: EndpointParams, receive: ReceiveEndpointParams
    ) -> tuple[PlaneReceiveEndpoint, OpenedEndpoint]:
        """Open a receive endpoint and hand it to the receiver."""
        native, native_receive = params.to_native(), receive.to_native()
        with _naming_holders(params.bind):
            endpoint = _pointer(lib.fl_receive_endpoint_open(self._driver, binding, native, native_receive))
        return PlaneReceiveEndpoint(endpoint), OpenedEndpoint.from_native(native)

    def receive_endpoint_new_owner(self, receive: ReceiveEndpointParams) -> PlaneReceiveEndpoint:
        """Make the endpoint of a multi-destination subscription, which is on no transport."""
        return PlaneReceiveEndpoint(_pointer(lib.fl_receive_endpoint_new_owner(self._driver, receive.to_native())))

    def receive_endpoint_open_member(
        self, owner: PlaneReceiveEndpoint, binding: Any, params: EndpointParams, receive: ReceiveEndpointParams
    ) -> tuple[PlaneReceiveEndpoint, OpenedEndpoint]:
        """Open one of its destinations and hand it to the receiver."""
        native, native_receive = params.to_native(), receive.to_native()
        with _naming_holders(params.bind):
            member = _pointer(lib.fl_receive_endpoint_open_member(self._driver, owner, binding, native, native_receive))
        return PlaneReceiveEndpoint(member), OpenedEndpoint.from_native(native)

    def receive_endpoint_detach(self, endpoint: PlaneReceiveEndpoint) -> None:
        """Take it from a transport whose device was lost; its images live on."""
        _check(lib.fl_receive_endpoint_detach(self._driver, endpoint))

    def receive_endpoint_attach(
        self, endpoint: PlaneReceiveEndpoint, binding: Any, params: EndpointParams
    ) -> OpenedEndpoint:
        """Open a detached endpoint on a transport."""
        native = params.to_native()
        with _naming_holders(params.bind):
            _check(lib.fl_receive_endpoint_attach(self._driver, endpoint, binding, native))
        return OpenedEndpoint.from_native(native)

    def receive_endpoint_close(self, endpoint: PlaneReceiveEndpoint) -> None:
        """Close a receive endpoint without images and streams."""
        _check(lib.fl_receive_endpoint_close(self._driver, endpoint))

    def receive_endpoint_count_unstamped(self, endpoint: PlaneReceiveEndpoint, counter_id: int) -> None:
        """Count in a counter the datagrams that came without the timestamp which their transport was to give."""
        _check(lib.fl_receive_endpoint_count_unstamped(self._driver, endpoint, counter_id))

    def receive_endpoint_local_address(self, endpoint: PlaneReceiveEndpoint) -> Address | None:
        """Return the address it is bound to."""
        _check(lib.fl_receive_endpoint_local_address(endpoint, self._address))
        return Address.from_native(self._address)

    def receive_endpoint_elicit_session(self, endpoint: PlaneReceiveEndpoint, stream_id: int, session_id: int) -> None:
        """Ask for a SETUP of one session at the endpoint's control addresses."""
        _check(lib.fl_receive_endpoint_elicit_session(self._driver, endpoint, stream_id, session_id))

    def receive_endpoint_time_of_last_run(self, endpoint: PlaneReceiveEndpoint) -> int:
        """Return the monotonic time of the last datagrams for an explicit control address, nanoseconds."""
        return int(lib.fl_receive_endpoint_time_of_last_run(endpoint))

    def receive_endpoint_set_control(self, endpoint: PlaneReceiveEndpoint, control: Address) -> None:
        """Send status messages to another control address from now on."""
        _check(lib.fl_receive_endpoint_set_control(self._driver, endpoint, native_address(control)))

    def receive_endpoint_add_stream(
        self, endpoint: PlaneReceiveEndpoint, stream_id: int, session_id: int | None
    ) -> None:
        """Add interest in a stream; ``None``: all sessions."""
        has = session_id is not None
        _check(lib.fl_receive_endpoint_add_stream(self._driver, endpoint, stream_id, has, session_id or 0))

    def receive_endpoint_remove_stream(
        self, endpoint: PlaneReceiveEndpoint, stream_id: int, session_id: int | None
    ) -> None:
        """Undo one :meth:`receive_endpoint_add_stream`."""
        has = session_id is not None
        _check(lib.fl_receive_endpoint_remove_stream(self._driver, endpoint, stream_id, has, session_id or 0))

    def receive_endpoint_refuse_setup(self, endpoint: PlaneReceiveEndpoint, stream_id: int, session_id: int) -> None:
        """Make no image for a SETUP; one of a stream that nobody wants any more is forgotten already."""
        status = lib.fl_receive_endpoint_refuse_setup(self._driver, endpoint, stream_id, session_id)
        if status != -NOT_THERE:
            _check(status)

    def receive_endpoint_remove_cool_down(
        self, endpoint: PlaneReceiveEndpoint, stream_id: int, session_id: int
    ) -> None:
        """Let a session whose image ended early come back; one that reached its end has no cool-down."""
        status = lib.fl_receive_endpoint_remove_cool_down(self._driver, endpoint, stream_id, session_id)
        if status != -NOT_THERE:
            _check(status)

    # ---- publications ----

    def publication_add(
        self, endpoint: PlaneSendEndpoint, log: Any, params: NetworkPublicationParams
    ) -> PlanePublication:
        """Make a publication over a log, an ``fl_log_t *``, and hand it to the sender."""
        native = ffi.new("fl_publication_params_t *", {**vars(params), "log": log})
        return PlanePublication(_pointer(lib.fl_publication_add(self._driver, endpoint, native)))

    def publication_drain(self, publication: PlanePublication) -> None:
        """The last reference is gone."""
        _check(lib.fl_publication_drain(self._driver, publication))

    def publication_revoke(self, publication: PlanePublication) -> None:
        """The metadata says that it is revoked."""
        _check(lib.fl_publication_revoke(self._driver, publication))

    def publication_link(self, publication: PlanePublication, subscription_id: int, position_counter_id: int) -> int:
        """Link a spy; returns its join position.

        :raises NativeError: with :data:`TRY_AGAIN` if it takes no spies now.
        """
        return _check(lib.fl_publication_link(self._driver, publication, subscription_id, position_counter_id))

    def publication_unlink(self, publication: PlanePublication, subscription_id: int) -> None:
        """Unlink a spy."""
        _check(lib.fl_publication_unlink(self._driver, publication, subscription_id))

    def publication_is_behind(self, publication: PlanePublication, subscription_id: int) -> bool:
        """Whether a spy is so far behind that it is given up if it is untethered.

        :raises NativeError: with :data:`NOT_THERE` if it is not linked.
        """
        return bool(_check(lib.fl_publication_is_behind(self._driver, publication, subscription_id)))

    def publication_remove(self, publication: PlanePublication) -> None:
        """Take it from the sender and free it."""
        _check(lib.fl_publication_remove(self._driver, publication))

    def ipc_publication_add(self, log: Any, params: IpcPublicationParams) -> PlaneIpcPublication:
        """Make an IPC publication over a log, an ``fl_log_t *``."""
        native = ffi.new("fl_ipc_publication_params_t *", {**vars(params), "log": log})
        return PlaneIpcPublication(_pointer(lib.fl_ipc_publication_add(self._driver, native)))

    def ipc_publication_drain(self, publication: PlaneIpcPublication) -> None:
        """The last reference is gone."""
        _check(lib.fl_ipc_publication_drain(self._driver, publication))

    def ipc_publication_revoke(self, publication: PlaneIpcPublication) -> None:
        """The metadata says that it is revoked."""
        _check(lib.fl_ipc_publication_revoke(self._driver, publication))

    def ipc_publication_reject(self, publication: PlaneIpcPublication, cool_down_ns: int) -> None:
        """Unlink all subscribers and take none until the cool-down is over."""
        _check(lib.fl_ipc_publication_reject(self._driver, publication, cool_down_ns))

    def ipc_publication_remove(self, publication: PlaneIpcPublication) -> None:
        """Take it from the conductor agent and free it."""
        _check(lib.fl_ipc_publication_remove(self._driver, publication))

    def ipc_publication_link(
        self, publication: PlaneIpcPublication, subscription_id: int, position_counter_id: int
    ) -> int:
        """Link a subscriber; returns its join position.

        :raises NativeError: with :data:`TRY_AGAIN` if it takes no subscribers now.
        """
        return _check(lib.fl_ipc_publication_link(self._driver, publication, subscription_id, position_counter_id))

    def ipc_publication_unlink(self, publication: PlaneIpcPublication, subscription_id: int) -> None:
        """Unlink a subscriber."""
        _check(lib.fl_ipc_publication_unlink(self._driver, publication, subscription_id))

    def ipc_publication_is_behind(self, publication: PlaneIpcPublication, subscription_id: int) -> bool:
        """As :meth:`publication_is_behind`."""
        return bool(_check(lib.fl_ipc_publication_is_behind(self._driver, publication, subscription_id)))

    # ---- images ----

    def image_add(
        self,
        endpoint: PlaneReceiveEndpoint,
        log: Any,
        source: Address,
        params: ImageParams,
        subscribers: Sequence[tuple[int, int]],
    ) -> PlaneImage:
        """Make the image that a SETUP asked for.

        :param subscribers: subscription id and position counter id of each first subscriber.
        """
        native = ffi.new("fl_image_params_t *", {**vars(params), "log": log, "source": native_address(source)[0]})
        subscription_ids = ffi.new("int64_t[]", [subscription for subscription, _ in subscribers])
        counter_ids = ffi.new("int32_t[]", [counter for _, counter in subscribers])
        return PlaneImage(
            _pointer(lib.fl_image_add(self._driver, endpoint, native, subscription_ids, counter_ids, len(subscribers)))
        )

    def image_link(self, image: PlaneImage, subscription_id: int, position_counter_id: int) -> int:
        """Link a subscriber; returns its join position.

        :raises NativeError: with :data:`TRY_AGAIN` if it takes no subscribers now.
        """
        return _check(lib.fl_image_link(self._driver, image, subscription_id, position_counter_id))

    def image_unlink(self, image: PlaneImage, subscription_id: int) -> None:
        """Unlink a subscriber."""
        _check(lib.fl_image_unlink(self._driver, image, subscription_id))

    def image_is_behind(self, image: PlaneImage, subscription_id: int) -> bool:
        """As :meth:`publication_is_behind`."""
        return bool(_check(lib.fl_image_is_behind(self._driver, image, subscription_id)))

    def image_respond(self, image: PlaneImage, response_session_id: int) -> None:
        """Tell the image's publication in which session it is responded to, until told to stop."""
        _check(lib.fl_image_respond(self._driver, image, response_session_id))

    def image_stop_responding(self, image: PlaneImage) -> None:
        """Tell it no more."""
        _check(lib.fl_image_stop_responding(self._driver, image))

    def image_reject(self, image: PlaneImage, reason: bytes) -> None:
        """Answer with ERR frames in place of status messages."""
        _check(lib.fl_image_reject(self._driver, image, reason, len(reason)))

    def image_set_loss_entry(self, image: PlaneImage, record: Any) -> None:
        """Note further losses in a loss report record; ``None``: the report is full."""
        _check(lib.fl_image_set_loss_entry(self._driver, image, ffi.NULL if record is None else record))

    def image_loss(self, image: PlaneImage) -> tuple[int, int]:
        """Return bytes lost and the number of losses so far."""
        lost, count = ffi.new("int64_t *"), ffi.new("int64_t *")
        _check(lib.fl_image_loss(self._driver, image, lost, count))
        return lost[0], count[0]

    def image_remove(self, image: PlaneImage) -> None:
        """Take it from the receiver and free it."""
        _check(lib.fl_image_remove(self._driver, image))


def _failure(code: int) -> NativeError:
    text = ffi.string(lib.fl_error_text()).decode("utf-8", "replace")
    lib.fl_error_clear()
    return NativeError(text or f"the data plane answered with error {code}", code)


def _check(result: int) -> int:
    if result < 0:
        raise _failure(-result)
    return result


def _pointer(pointer: Any) -> Any:
    if pointer == ffi.NULL:
        raise _failure(lib.fl_error_code() or lib.FL_EIO)
    return pointer


@contextmanager
def _naming_holders(bind: Address) -> Iterator[None]:
    """Have the message of a port in use say who has it."""
    try:
        yield
    except NativeError as error:
        holders = describe_holders(bind.ip, bind.port) if error.code == lib.FL_EADDRINUSE else ""
        if holders:
            raise NativeError(f"{error}; {holders}", error.code) from error
        raise
