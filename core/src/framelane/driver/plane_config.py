"""From settings to the configuration of the data plane."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from framelane._native import ffi, lib
from framelane.driver.clock import Clock
from framelane.driver.idle import IdleStrategy
from framelane.driver.model import DriverSettings
from framelane.transport.spec import Verdict

__all__ = ["plane_config", "resolve_threading_mode"]

_THREADING = {
    "DEDICATED": lib.FL_THREADING_DEDICATED,
    "SHARED_NETWORK": lib.FL_THREADING_SHARED_NETWORK,
    "SHARED": lib.FL_THREADING_SHARED,
    "INVOKER": lib.FL_THREADING_INVOKER,
}
_IDLE = {
    "backoff": lib.FL_IDLE_BACKOFF,
    "sleeping": lib.FL_IDLE_SLEEP,
    "yield": lib.FL_IDLE_YIELD,
    "spin": lib.FL_IDLE_SPIN,
    "noop": lib.FL_IDLE_NOOP,
    "wait": lib.FL_IDLE_WAIT,
}
#: Whose settings the threads have, by mode, in the order of ``FL_AGENT_*`` of the agent that names the thread.
_THREADS = {
    "DEDICATED": ("conductor", "sender", "receiver"),
    "SHARED_NETWORK": ("conductor", "sharednetwork"),
    "SHARED": ("shared",),
    "INVOKER": ("shared",),
}


def resolve_threading_mode(mode: str, verdicts: Iterable[Verdict], cores: int | None = None) -> str:
    """Return the threading mode for ``AUTO``, else the one asked for.

    A transport with one queue wants sender and receiver on one thread; DEDICATED wants a core for each agent and one
    for the application.

    :param verdicts: of the transports that may be used.
    :param cores: that this process may use; ``None``: ask the system.
    """
    if mode != "AUTO":
        return mode
    if cores is None:
        cores = len(os.sched_getaffinity(0))
    has_one_queue = any(verdict.usable and verdict.capabilities.queues == 1 for verdict in verdicts)
    if cores >= 4 and not has_one_queue:
        return "DEDICATED"
    return "SHARED_NETWORK" if cores >= 3 else "SHARED"


def plane_config(
    settings: DriverSettings, threading_mode: str, clock: Clock, cnc: Any, drop_counters: Sequence[int], seed: int
) -> Any:
    """Return an ``fl_driver_config_t *``.

    :param cnc: ``fl_cnc_t *``.
    :param drop_counters: ids, by ``FL_DROP_*``.
    """
    config = ffi.new(
        "fl_driver_config_t *",
        {
            "clock": clock.native,
            "cnc": cnc,
            "threading_mode": _THREADING[threading_mode],
            "thread_naming_new": settings.thread_naming == "new",
            "seed": seed,
            "sender_poll_runs": settings.sender_io_vector_capacity or 0,
            "receiver_poll_runs": settings.receiver_io_vector_capacity or 0,
            "timer_interval_ns": settings.timer_interval,
            "client_liveness_timeout_ns": settings.client_liveness_timeout,
            "publication_connection_timeout_ns": settings.publication_connection_timeout,
            "retransmit_delay_ns": settings.retransmit_unicast_delay,
            "retransmit_linger_ns": settings.retransmit_unicast_linger,
            "send_to_status_poll_ratio": settings.send_to_status_poll_ratio,
            "send_run_length": settings.send_run_length,
            "max_messages_per_send": settings.network_publication_max_messages_per_send or 0,
            "status_message_timeout_ns": settings.rcv_status_message_timeout,
            "image_liveness_timeout_ns": settings.image_liveness_timeout,
            "nak_unicast_delay_ns": settings.nak_unicast_delay,
            "nak_unicast_retry_ratio": settings.nak_unicast_retry_delay_ratio,
            "nak_multicast_max_backoff_ns": settings.nak_multicast_max_backoff,
            "nak_multicast_group_size": settings.nak_multicast_group_size,
            "stream_session_limit": settings.driver_stream_session_limit,
            "cubic_initial_rtt_ns": settings.cubiccongestioncontrol_initialrtt,
            "cubic_measures_rtt": settings.cubiccongestioncontrol_measurertt,
            "cubic_tcp_mode": settings.cubiccongestioncontrol_tcpmode,
            "publication_unblock_timeout_ns": settings.publication_unblock_timeout,
            "system_counter_ids": list(range(46)),
            "drop_counter_ids": list(drop_counters),
        },
    )
    agents = ("conductor", "sender", "receiver")
    for i, agent in enumerate(agents):
        config.cycle_threshold_ns[i] = getattr(settings, f"driver_{agent}_cycle_threshold")
        config.cpu_affinity[i] = getattr(settings, f"{agent}_cpu_affinity")
    for i, thread in enumerate(_THREADS[threading_mode]):
        _fill_idle(config.idle[i], settings.idle_strategy(thread), settings)
    return config


def _fill_idle(native: Any, strategy: IdleStrategy, settings: DriverSettings) -> None:
    native.kind = _IDLE[strategy.name]
    native.max_spins = strategy.max_spins
    native.max_yields = strategy.max_yields
    native.min_park_ns = strategy.min_park_ns
    native.max_park_ns = strategy.max_park_ns
    native.wait_max_ns = settings.wait_max_ns
    native.wait_max_no_clients_ns = settings.wait_max_no_clients_ns
