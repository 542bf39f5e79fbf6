"""Stock settings whose feature this driver does not have: accepted at their default, refused otherwise.

Where streams are the same without it, another value is ignored with a warning.
Removing an entry is part of adding its feature.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNSUPPORTED", "Unsupported"]


@dataclass(frozen=True)
class Unsupported:
    """Why a setting may only have its default."""

    feature: str  #: what the driver does not have
    #: Values that ask for nothing more than the default does.
    same_as_default: frozenset[object] = frozenset()
    instead: str = ""  #: what to use
    is_ignored: bool = False  #: other values are a warning


def _all(feature: str, *keys: str, instead: str = "", is_ignored: bool = False) -> dict[str, Unsupported]:
    return dict.fromkeys(keys, Unsupported(feature, instead=instead, is_ignored=is_ignored))


UNSUPPORTED: dict[str, Unsupported] = {
    "unicast_flowcontrol_supplier": Unsupported(
        "flow control other than unicast for unicast channels", frozenset({"unicast"})
    ),
    **_all(
        "loadable transport bindings",
        "udp_channel_transport_bindings_media",
        "conductor_udp_channel_transport_bindings_media",
        instead="name frame transports in transport.use",
    ),
    **_all(
        "loadable interceptors and libraries",
        "udp_channel_outgoing_interceptors",
        "udp_channel_incoming_interceptors",
        "driver_dynamic_libraries",
        "agent_on_start_function",
        instead="write a frame transport plugin",
    ),
    **_all(
        "the stock driver's loss generators",
        "debug_receive_data_loss_rate",
        "debug_receive_data_loss_seed",
        "debug_receive_control_loss_rate",
        "debug_receive_control_loss_seed",
        "debug_send_data_loss_rate",
        "debug_send_data_loss_seed",
        "debug_send_control_loss_rate",
        "debug_send_control_loss_seed",
        "udp_channel_transport_bindings_loss_args",
        "udp_channel_transport_bindings_fixed_loss_args",
        "udp_channel_transport_bindings_multi_gap_loss_args",
    ),
    **_all(
        "event logging",
        "event_log",
        "event_log_disable",
        "event_log_filename",
        "event_log_file_max_length",
        is_ignored=True,
    ),
    **_all("experimental features", "enable_experimental_features"),
    **_all(
        "pinning derived from the cpuset",
        "driver_cpuset_affinity",
        "driver_cpuset_warnings_as_errors",
        instead="set conductor_cpu_affinity, sender_cpu_affinity and receiver_cpu_affinity",
    ),
    **_all(
        "a native resource agent",
        "driver_native_resource_agent_idle_strategy",
        "driver_native_resource_agent_idle_strategy_init_args",
        "driver_native_resource_agent_cpu_affinity",
        is_ignored=True,
    ),
}
