"""What calls of the data plane take and tell: structs of ``core/c/src/api/driver.h``, as values."""

from __future__ import annotations

from dataclasses import dataclass

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
]


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


@dataclass(frozen=True)
class OpenedEndpoint:
    """What ``open_endpoint`` granted."""

    max_run_segments: int
    max_run_length: int
    send_buffer_granted: int
    receive_buffer_granted: int
    note: str
    receive_clock: int  #: ``FL_CLOCK_*``


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
