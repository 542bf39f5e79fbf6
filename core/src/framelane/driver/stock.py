"""The settings of the stock driver, with its names, defaults and ranges (``shm`` 10.3, ``wire`` 8).

A field is the environment name without ``AERON_``, in lower case. Sizes are bytes, durations are nanoseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from framelane.driver.values import (
    GIB,
    INT32_MAX,
    INT64_MAX,
    KIB,
    MIB,
    MILLISECOND,
    SECOND,
    Choice,
    Duration,
    FilePath,
    Flag,
    Integer,
    Milliseconds,
    PortRange,
    Size,
    Text,
)
from framelane.shm.location import default_directory

__all__ = ["IDLE_STRATEGIES", "THREADING_MODES", "StockSettings"]

THREADING_MODES = ("AUTO", "DEDICATED", "SHARED_NETWORK", "SHARED", "INVOKER")
IDLE_STRATEGIES = ("sleeping", "sleep-ns", "yield", "spin", "noop", "backoff", "wait")

MICROSECOND = 1_000

OptionalText = Annotated[str | None, Text()]
Boolean = Annotated[bool, Flag()]
Timeout = Annotated[int, Duration(minimum=MICROSECOND)]
TimeoutOrZero = Annotated[int, Duration()]
TermLength = Annotated[int, Size(KIB, INT32_MAX)]
MtuLength = Annotated[int, Size(32, 65504)]
Window = Annotated[int, Size(0, GIB)]
BufferSize = Annotated[int, Size(0, INT32_MAX)]
Count = Annotated[int, Integer(1, INT32_MAX)]
Vector = Annotated[int | None, Integer(1, 16)]
Idle = Annotated[str, Choice(IDLE_STRATEGIES)]
Cpu = Annotated[int, Integer(-1, 255)]
Int32 = Annotated[int, Integer(-(2**31), INT32_MAX)]
Int64 = Annotated[int, Integer(-(2**63), INT64_MAX)]

_CONGESTION_CONTROLS = (
    "static",
    "cubic",
    "aeron_congestion_control_default_strategy_supplier",
    "aeron_static_window_congestion_control_strategy_supplier",
    "aeron_cubic_congestion_control_strategy_supplier",
)
_MULTICAST_FLOW_CONTROLS = (
    "max",
    "min",
    "tagged",
    "aeron_max_multicast_flow_control_strategy_supplier",
    "aeron_min_flow_control_strategy_supplier",
    "aeron_tagged_flow_control_strategy_supplier",
    "aeron_min_multicast_flow_control_strategy_supplier",
    "aeron_tagged_multicast_flow_control_strategy_supplier",
)


class StockSettings(BaseModel):
    """What ``aeronmd`` takes. Where the default is another one here, :mod:`framelane.driver.settings` says so."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)

    # Directory and files.
    dir: Annotated[Path, FilePath()] = Field(default_factory=default_directory, description="Driver directory.")
    dir_warn_if_exists: Boolean = Field(False, description="Warn when the directory exists at start.")
    dir_delete_on_start: Boolean = Field(
        False, description="Delete the directory at start without looking for a live driver."
    )
    dir_delete_on_shutdown: Boolean = Field(False, description="Delete the directory after a clean close.")
    driver_timeout: Annotated[int, Milliseconds()] = Field(
        10 * SECOND,
        description="Heartbeat age beyond which an existing driver counts as dead; bare digits are milliseconds.",
    )
    print_configuration: Boolean = Field(False, description="Print the configuration at start.")
    conductor_buffer_length: Annotated[int, Size(MIB + 768, INT32_MAX)] = Field(
        MIB + 768, description="To-driver ring with its trailer of 768 bytes; a power of two without it."
    )
    clients_buffer_length: Annotated[int, Size(MIB + 128, INT32_MAX)] = Field(
        MIB + 128, description="To-clients broadcast with its trailer of 128 bytes; a power of two without it."
    )
    counters_buffer_length: Annotated[int, Size(MIB, 500 * MIB)] = Field(
        8 * MIB, description="Counter values; the metadata is four times as long."
    )
    error_buffer_length: Annotated[int, Size(4 * MIB, INT32_MAX)] = Field(4 * MIB, description="Distinct error log.")
    loss_report_buffer_length: Annotated[int, Size(KIB, INT32_MAX)] = Field(
        MIB, description="Loss report, before rounding to pages."
    )
    file_page_size: Annotated[int, Size(4 * KIB, INT32_MAX)] = Field(
        4 * KIB, description="Rounding unit of files; a power of two up to 1 GiB."
    )
    perform_storage_checks: Boolean = Field(True, description="Check the free space before making a log buffer.")
    low_file_store_warning_threshold: Annotated[int, Size(0, INT64_MAX)] = Field(
        160 * MIB, description="Free space at or under which a warning is logged."
    )
    term_buffer_sparse_file: Boolean = Field(True, description="Default of the channel parameter sparse.")
    term_buffer_length: TermLength = Field(
        16 * MIB, description="Term length of UDP publications; a power of two, 64 KiB to 1 GiB."
    )
    ipc_term_buffer_length: TermLength = Field(
        64 * MIB, description="Term length of IPC publications; a power of two, 64 KiB to 1 GiB."
    )
    mtu_length: MtuLength = Field(1408, description="MTU of UDP publications; above 32, a multiple of 32.")
    ipc_mtu_length: MtuLength = Field(1408, description="MTU of IPC publications; above 32, a multiple of 32.")
    publication_term_window_length: Window = Field(0, description="Publisher window, UDP; 0 is half a term.")
    ipc_publication_term_window_length: Window = Field(0, description="Publisher window, IPC; 0 is half a term.")

    # Liveness and life cycles.
    client_liveness_timeout: Timeout = Field(
        10 * SECOND, description="Silence after which a client is dead; above timer_interval."
    )
    timer_interval: Timeout = Field(SECOND, description="Period of the conductor's timer pass.")
    publication_unblock_timeout: Timeout = Field(
        15 * SECOND, description="Repair of a stuck publisher; above client_liveness_timeout."
    )
    publication_connection_timeout: Timeout = Field(
        5 * SECOND, description="No status message for so long means not connected."
    )
    publication_linger_timeout: Timeout = Field(5 * SECOND, description="Linger of a UDP publication after drain.")
    image_liveness_timeout: Timeout = Field(
        10 * SECOND, description="Idle time and linger of images, and cool-down of a rejected IPC image."
    )
    counters_free_to_reuse_timeout: Annotated[int, Duration(least_positive=MILLISECOND)] = Field(
        SECOND, description="Cool-down of a freed counter id."
    )
    untethered_window_limit_timeout: TimeoutOrZero = Field(
        5 * SECOND, description="How long an untethered subscriber may lag; above timer_interval."
    )
    untethered_linger_timeout: Annotated[int | None, Duration()] = Field(
        None, description="Linger of an untethered subscriber; unset: its window limit timeout."
    )
    untethered_resting_timeout: TimeoutOrZero = Field(
        10 * SECOND, description="Rest of an untethered subscriber; above timer_interval."
    )

    # Defaults of channels.
    spies_simulate_connection: Boolean = Field(False, description="Default of the channel parameter ssc.")
    reliable_stream: Boolean = Field(True, description="Default of the channel parameter reliable.")
    tether_subscriptions: Boolean = Field(True, description="Default of the channel parameter tether.")
    rejoin_stream: Boolean = Field(True, description="Default of the channel parameter rejoin.")
    receiver_group_consideration: Annotated[str, Choice(("true", "false", "infer"))] = Field(
        "infer", description="Default of the channel parameter group."
    )
    publication_reserved_session_id_low: Int32 = Field(-1, description="First session id that is never handed out.")
    publication_reserved_session_id_high: Int32 = Field(1000, description="Last session id that is never handed out.")
    driver_stream_session_limit: Count = Field(
        INT32_MAX, description="Most sessions of a stream on one receive endpoint."
    )
    driver_termination_validator: Annotated[str, Choice(("deny", "allow"))] = Field(
        "deny", description="Whether clients may terminate the driver."
    )
    enable_experimental_features: Boolean = Field(False, description="Gate for experimental features.")
    driver_resource_free_limit: Count = Field(1, description="Retries of failed log file removals in a cycle.")

    # Network.
    socket_so_rcvbuf: BufferSize = Field(128 * KIB, description="Socket receive buffer; 0 is the system's default.")
    socket_so_sndbuf: BufferSize = Field(0, description="Socket send buffer; 0 is the system's default.")
    socket_multicast_ttl: Annotated[int, Integer(0, 255)] = Field(
        0, description="Multicast hop limit; 0 is the system's default."
    )
    rcv_initial_window_length: Annotated[int, Size(256, INT32_MAX)] = Field(
        128 * KIB, description="Receiver window; not above the receive buffer that the system grants."
    )
    rcv_status_message_timeout: Timeout = Field(200 * MILLISECOND, description="Period of status messages.")
    send_to_status_poll_ratio: Annotated[int, Integer(1, 255)] = Field(6, description="Data sends per control poll.")
    nak_multicast_group_size: Count = Field(10, description="Group size of the NAK back-off.")
    nak_multicast_max_backoff: Timeout = Field(10 * MILLISECOND, description="Longest NAK back-off.")
    nak_unicast_delay: Timeout = Field(MICROSECOND, description="Delay of a unicast NAK.")
    nak_unicast_retry_delay_ratio: Annotated[int, Integer(1, INT64_MAX)] = Field(
        100, description="Delay of a repeated unicast NAK, in nak_unicast_delay."
    )
    retransmit_unicast_delay: TimeoutOrZero = Field(0, description="Delay of a retransmit.")
    retransmit_unicast_linger: Timeout = Field(10 * MILLISECOND, description="Linger of a retransmit.")
    max_resend: Annotated[int, Integer(1, 256)] = Field(16, description="Concurrent retransmits of a publication.")
    receiver_group_tag: Annotated[int | None, Integer(-(2**63), INT64_MAX)] = Field(
        None, description="Receiver tag in status messages."
    )
    flow_control_group_tag: Int64 = Field(
        -1, description="Group tag of tagged flow control; a default of fc, as the next two."
    )
    flow_control_group_min_size: Annotated[int, Integer(0, INT32_MAX)] = Field(
        0, description="Fewest receivers of min and tagged flow control."
    )
    flow_control_receiver_timeout: TimeoutOrZero = Field(
        5 * SECOND, description="Receiver timeout of min and tagged flow control."
    )
    unicast_flowcontrol_supplier: OptionalText = Field(
        "aeron_unicast_flow_control_strategy_supplier", description="Flow control of unicast channels."
    )
    multicast_flowcontrol_supplier: Annotated[str, Choice(_MULTICAST_FLOW_CONTROLS)] = Field(
        "aeron_max_multicast_flow_control_strategy_supplier",
        description="Flow control of channels with more than one receiver, unless fc says otherwise.",
    )
    unicast_flow_control_rrwm: Count = Field(16, description="Windows that one NAK may ask for, unicast.")
    multicast_flow_control_rrwm: Count = Field(
        4, description="Windows that one NAK may ask for, multicast; a default of fc."
    )
    congestioncontrol_supplier: Annotated[str, Choice(_CONGESTION_CONTROLS)] = Field(
        "aeron_congestion_control_default_strategy_supplier",
        description="Default of the channel parameter cc; static unless it names cubic.",
    )
    cubiccongestioncontrol_measurertt: Boolean = Field(False, description="CUBIC: measure the round trip time.")
    cubiccongestioncontrol_initialrtt: TimeoutOrZero = Field(
        100 * MICROSECOND, description="CUBIC: round trip time to begin with."
    )
    cubiccongestioncontrol_tcpmode: Boolean = Field(False, description="CUBIC: TCP mode.")
    receiver_io_vector_capacity: Vector = Field(None, description="Runs per receive call of the receiver.")
    sender_io_vector_capacity: Vector = Field(None, description="Runs per receive call of the sender.")
    network_publication_max_messages_per_send: Vector = Field(
        None, description="Datagrams per publication and send pass."
    )
    driver_connect: Boolean = Field(True, description="Connect the sockets of unicast publications.")
    sender_wildcard_port_range: Annotated[tuple[int, int], PortRange()] = Field(
        (0, 0), description="Ports for wildcard send binds."
    )
    receiver_wildcard_port_range: Annotated[tuple[int, int], PortRange()] = Field(
        (0, 0), description="Ports for wildcard receive binds."
    )

    # Agents.
    threading_mode: Annotated[str, Choice(THREADING_MODES)] = Field(
        "AUTO", description="Agent threads; AUTO decides by cores and queues."
    )
    thread_naming: Annotated[str, Choice(("classic", "new"))] = Field(
        "classic", description="Thread names: conductor, sender, receiver, or aeron-md-*."
    )
    conductor_idle_strategy: Idle = Field("backoff", description="Idling of the conductor.")
    conductor_idle_strategy_init_args: OptionalText = Field(None, description="Its arguments.")
    sender_idle_strategy: Idle = Field("backoff", description="Idling of the sender.")
    sender_idle_strategy_init_args: OptionalText = Field(None, description="Its arguments.")
    receiver_idle_strategy: Idle = Field("backoff", description="Idling of the receiver.")
    receiver_idle_strategy_init_args: OptionalText = Field(None, description="Its arguments.")
    shared_idle_strategy: Idle = Field("backoff", description="Idling in SHARED mode.")
    shared_idle_strategy_init_args: OptionalText = Field(None, description="Its arguments.")
    sharednetwork_idle_strategy: Idle = Field("backoff", description="Idling of the network thread in SHARED_NETWORK.")
    sharednetwork_idle_strategy_init_args: OptionalText = Field(None, description="Its arguments.")
    driver_native_resource_agent_idle_strategy: Idle = Field("sleep-ns", description="Idling of the resource agent.")
    driver_native_resource_agent_idle_strategy_init_args: OptionalText = Field("1ms", description="Its arguments.")
    conductor_cpu_affinity: Cpu = Field(-1, description="CPU of the conductor; in SHARED of all agents. -1 is none.")
    sender_cpu_affinity: Cpu = Field(-1, description="CPU of the sender; in SHARED_NETWORK of the network thread.")
    receiver_cpu_affinity: Cpu = Field(-1, description="CPU of the receiver, in DEDICATED.")
    driver_native_resource_agent_cpu_affinity: Cpu = Field(-1, description="CPU of the resource agent.")
    driver_cpuset_affinity: Boolean = Field(False, description="Derive CPUs from the cgroup's cpuset.")
    driver_cpuset_warnings_as_errors: Boolean = Field(False, description="Fail on warnings about the cpuset.")
    driver_conductor_cycle_threshold: TimeoutOrZero = Field(
        100 * MILLISECOND, description="Conductor cycles above it are counted (counter 27)."
    )
    driver_sender_cycle_threshold: TimeoutOrZero = Field(
        100 * MILLISECOND, description="Sender cycles above it are counted (counter 29)."
    )
    driver_receiver_cycle_threshold: TimeoutOrZero = Field(
        100 * MILLISECOND, description="Receiver cycles above it are counted (counter 31)."
    )
    driver_name_resolver_threshold: TimeoutOrZero = Field(
        5 * SECOND, description="Name resolutions above it are counted (counter 33)."
    )

    # Name resolution.
    name_resolver_supplier: Annotated[str, Choice(("default", "driver", "csv_table"))] = Field(
        "default",
        description="Name resolver: `default`, the host's, or `csv_table`, a table of names; `driver_resolver_name` "
        "adds those that drivers tell.",
    )
    name_resolver_init_args: OptionalText = Field(None, description="Table of `csv_table`.")
    name_resolver_csv_lookup_table_args: OptionalText = Field(
        None, description="Table of `csv_table`, if the one above is not given."
    )
    driver_resolver_name: OptionalText = Field(
        None, description="This driver's name, which it tells other drivers; needs driver_resolver_interface."
    )
    driver_resolver_interface: OptionalText = Field(
        None, description="Where drivers are told and tell names: host, or host:port."
    )
    driver_resolver_bootstrap_neighbor: OptionalText = Field(
        None, description="Drivers to tell first, host:port, separated by commas; at most 20."
    )
    driver_resolver_neighbor_timeout: Annotated[int, Duration(minimum=MILLISECOND)] = Field(
        10 * SECOND, description="Neighbour timeout."
    )
    driver_resolver_self_resolution_interval: Annotated[int, Duration(minimum=MILLISECOND)] = Field(
        SECOND, description="Period of self announcements."
    )
    driver_resolver_neighbor_resolution_interval: Annotated[int, Duration(minimum=MILLISECOND)] = Field(
        2 * SECOND, description="Period of neighbour announcements."
    )
    driver_resolver_bootstrap_neighbor_resolution_interval: Annotated[int, Duration(minimum=MILLISECOND)] = Field(
        10 * SECOND, description="Period of bootstrap re-resolution."
    )
    driver_reresolution_check_interval: TimeoutOrZero = Field(
        SECOND, description="Period of the endpoint re-resolution check; 0 is off."
    )

    # Loadable parts, event logging and test aids of the stock driver.
    udp_channel_transport_bindings_media: OptionalText = Field("default", description="Transport binding.")
    conductor_udp_channel_transport_bindings_media: OptionalText = Field(
        "default", description="Transport binding of the resolver."
    )
    udp_channel_outgoing_interceptors: OptionalText = Field(None, description="Interceptors of outgoing packets.")
    udp_channel_incoming_interceptors: OptionalText = Field(None, description="Interceptors of incoming packets.")
    driver_dynamic_libraries: OptionalText = Field(None, description="Shared objects to load first.")
    agent_on_start_function: OptionalText = Field(None, description="Called on the start of each agent thread.")
    debug_receive_data_loss_rate: OptionalText = Field(None, description="Test only: random loss.")
    debug_receive_data_loss_seed: OptionalText = Field(None, description="Test only: seed of random loss.")
    debug_receive_control_loss_rate: OptionalText = Field(None, description="Test only: random loss.")
    debug_receive_control_loss_seed: OptionalText = Field(None, description="Test only: seed of random loss.")
    debug_send_data_loss_rate: OptionalText = Field(None, description="Test only: random loss.")
    debug_send_data_loss_seed: OptionalText = Field(None, description="Test only: seed of random loss.")
    debug_send_control_loss_rate: OptionalText = Field(None, description="Test only: random loss.")
    debug_send_control_loss_seed: OptionalText = Field(None, description="Test only: seed of random loss.")
    udp_channel_transport_bindings_loss_args: OptionalText = Field(None, description="Test only: loss interceptor.")
    udp_channel_transport_bindings_fixed_loss_args: OptionalText = Field(
        None, description="Test only: fixed loss interceptor."
    )
    udp_channel_transport_bindings_multi_gap_loss_args: OptionalText = Field(
        None, description="Test only: multi gap loss interceptor."
    )
    event_log: OptionalText = Field(None, description="Events to log.")
    event_log_disable: OptionalText = Field(None, description="Events taken out of the mask.")
    event_log_filename: OptionalText = Field(None, description="Event log file.")
    event_log_file_max_length: OptionalText = Field(None, description="Event log file limit.")
