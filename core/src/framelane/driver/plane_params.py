"""What calls of the data plane take and tell: structs of ``core/c/src/api``, as values, and how they cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from framelane._native import ffi
from framelane.transport.address import Address

__all__ = [
    "EndpointParams",
    "ImageParams",
    "IpcPublicationParams",
    "NetworkPublicationParams",
    "OpenedEndpoint",
    "PlaneEvent",
    "ReceiveEndpointParams",
    "SendEndpointParams",
    "native_address",
]


def native_address(address: Address | None) -> Any:
    """Return an ``fl_address_t *``; of no family for ``None``."""
    native = ffi.new("fl_address_t *")
    if address is not None:
        address.store(native)
    return native


@dataclass(frozen=True)
class EndpointParams:
    """What ``open_endpoint`` is asked for (``fl_endpoint_params_t``)."""

    bind: Address
    peer: Address | None = None
    interface_address: Address | None = None
    interface_index: int = 0
    flags: int = 0
    ttl: int = 0
    mtu_length: int = 0
    send_buffer_length: int = 0
    receive_buffer_length: int = 0

    def to_native(self) -> Any:
        """Return an ``fl_endpoint_params_t *``."""
        return ffi.new(
            "fl_endpoint_params_t *",
            {
                "size": ffi.sizeof("fl_endpoint_params_t"),
                "flags": self.flags,
                "ttl": self.ttl,
                "bind": native_address(self.bind)[0],
                "peer": native_address(self.peer)[0],
                "interface_address": native_address(self.interface_address)[0],
                "interface_index": self.interface_index,
                "mtu_length": self.mtu_length,
                "send_buffer_length": self.send_buffer_length,
                "receive_buffer_length": self.receive_buffer_length,
            },
        )


@dataclass(frozen=True)
class OpenedEndpoint:
    """What ``open_endpoint`` granted."""

    max_run_segments: int
    max_run_length: int
    send_buffer_granted: int
    receive_buffer_granted: int
    note: str
    receive_clock: int  #: ``FL_CLOCK_*``

    @classmethod
    def from_native(cls, native: Any) -> Self:
        """Read the out-fields of an ``fl_endpoint_params_t *``."""
        return cls(
            native.max_run_segments,
            native.max_run_length,
            native.send_buffer_granted,
            native.receive_buffer_granted,
            ffi.string(native.note).decode("utf-8", "replace"),
            native.receive_clock,
        )


@dataclass(frozen=True)
class SendEndpointParams:
    """``fl_send_endpoint_params_t``; fields are named as there."""

    id: int
    is_multicast: bool
    destinations: int
    destinations_counter_id: int


@dataclass(frozen=True)
class ReceiveEndpointParams:
    """``fl_receive_endpoint_params_t``."""

    id: int
    is_multicast: bool
    control: Address | None
    has_control: bool
    group_tag: int | None
    ttl: int
    media_timestamp_at: int
    channel_timestamp_at: int

    def to_native(self) -> Any:
        """Return an ``fl_receive_endpoint_params_t *``."""
        return ffi.new(
            "fl_receive_endpoint_params_t *",
            {
                "id": self.id,
                "is_multicast": self.is_multicast,
                "has_group_tag": self.group_tag is not None,
                "has_control": self.has_control,
                "group_tag": self.group_tag or 0,
                "control": native_address(self.control)[0],
                "ttl": self.ttl,
                "media_timestamp_at": self.media_timestamp_at,
                "channel_timestamp_at": self.channel_timestamp_at,
            },
        )


@dataclass(frozen=True)
class NetworkPublicationParams:
    """``fl_publication_params_t`` but for the log; fields are named as there."""

    registration_id: int
    start_position: int
    publication_window_length: int
    max_resend: int
    retransmit_window_multiple: int
    ttl: int
    flow_control: int
    is_exclusive: bool
    has_group_semantics: bool
    signal_eos: bool
    spies_simulate_connection: bool
    linger_timeout_ns: int
    publisher_position_counter_id: int
    publisher_limit_counter_id: int
    sender_position_counter_id: int
    sender_limit_counter_id: int
    sender_bpe_counter_id: int
    sender_naks_received_counter_id: int
    timestamp_at: int
    group_min_size: int
    group_tag: int
    receiver_timeout_ns: int
    receivers_counter_id: int
    is_response: bool
    wants_response: bool


@dataclass(frozen=True)
class IpcPublicationParams:
    """``fl_ipc_publication_params_t`` but for the log."""

    registration_id: int
    start_position: int
    publication_window_length: int
    is_exclusive: bool
    publisher_position_counter_id: int
    publisher_limit_counter_id: int


@dataclass(frozen=True)
class ImageParams:
    """``fl_image_params_t`` but for the log and the source."""

    correlation_id: int
    initial_window_length: int
    congestion_control: int
    join_position: int
    is_reliable: bool
    treat_as_group: bool
    nak_delay_ns: int
    rcv_hwm_counter_id: int
    rcv_pos_counter_id: int
    rcv_naks_sent_counter_id: int
    rtt_counter_id: int
    window_counter_id: int


@dataclass(frozen=True)
class PlaneEvent:
    """``fl_driver_event_t``; fields that its kind does not fill are zero."""

    kind: int
    mask: int
    id: int
    session_id: int = 0
    stream_id: int = 0
    initial_term_id: int = 0
    active_term_id: int = 0
    term_offset: int = 0
    term_length: int = 0
    mtu_length: int = 0
    ttl: int = 0
    flags: int = 0
    error_code: int = 0
    receiver_id: int = 0
    group_tag: int = 0
    destination_id: int = 0
    source: Address | None = None
    text: str = ""

    @classmethod
    def from_native(cls, event: Any) -> Self:
        """Read an ``fl_driver_event_t *``."""
        return cls(
            kind=event.kind,
            mask=event.mask,
            id=event.id,
            session_id=event.session_id,
            stream_id=event.stream_id,
            initial_term_id=event.initial_term_id,
            active_term_id=event.active_term_id,
            term_offset=event.term_offset,
            term_length=event.term_length,
            mtu_length=event.mtu_length,
            ttl=event.ttl,
            flags=event.flags,
            error_code=event.error_code,
            receiver_id=event.receiver_id,
            group_tag=event.group_tag,
            destination_id=event.destination_id,
            source=Address.from_native(event.source),
            text=bytes(ffi.buffer(event.text, min(event.text_length, 1024))).decode("utf-8", "replace"),
        )
