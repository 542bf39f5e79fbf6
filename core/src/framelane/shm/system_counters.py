"""System counters: type id 0, allocated first, so that a counter's id is its system id (shm 5.4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from framelane.shm.counter_types import CounterType, index_key
from framelane.shm.counters import CountersManager

__all__ = ["SystemCounter", "SystemLabels", "allocate_system_counters", "format_duration", "free_system_counters"]

OWNER_ID = -1


class SystemCounter(enum.IntEnum):
    """Ids of the system counters."""

    BYTES_SENT = 0
    BYTES_RECEIVED = 1
    RECEIVER_PROXY_FAILS = 2
    SENDER_PROXY_FAILS = 3
    CONDUCTOR_PROXY_FAILS = 4
    NAK_MESSAGES_SENT = 5
    NAK_MESSAGES_RECEIVED = 6
    STATUS_MESSAGES_SENT = 7
    STATUS_MESSAGES_RECEIVED = 8
    HEARTBEATS_SENT = 9
    HEARTBEATS_RECEIVED = 10
    RETRANSMITS_SENT = 11
    FLOW_CONTROL_UNDER_RUNS = 12
    FLOW_CONTROL_OVER_RUNS = 13
    INVALID_PACKETS = 14
    ERRORS = 15
    SHORT_SENDS = 16
    FREE_FAILS = 17
    SENDER_FLOW_CONTROL_LIMITS = 18
    UNBLOCKED_PUBLICATIONS = 19
    UNBLOCKED_COMMANDS = 20
    POSSIBLE_TTL_ASYMMETRY = 21
    CONTROLLABLE_IDLE_STRATEGY = 22
    LOSS_GAP_FILLS = 23
    CLIENT_TIMEOUTS = 24
    RESOLUTION_CHANGES = 25
    CONDUCTOR_MAX_CYCLE_TIME = 26
    CONDUCTOR_CYCLE_TIME_THRESHOLD_EXCEEDED = 27
    SENDER_MAX_CYCLE_TIME = 28
    SENDER_CYCLE_TIME_THRESHOLD_EXCEEDED = 29
    RECEIVER_MAX_CYCLE_TIME = 30
    RECEIVER_CYCLE_TIME_THRESHOLD_EXCEEDED = 31
    NAME_RESOLVER_MAX_TIME = 32
    NAME_RESOLVER_TIME_THRESHOLD_EXCEEDED = 33
    AERON_VERSION = 34
    BYTES_CURRENTLY_MAPPED = 35
    RETRANSMITTED_BYTES = 36
    RETRANSMIT_OVERFLOW = 37
    ERROR_FRAMES_RECEIVED = 38
    ERROR_FRAMES_SENT = 39
    PUBLICATIONS_REVOKED = 40
    PUBLICATION_IMAGES_REVOKED = 41
    IMAGES_REJECTED = 42
    CONTROL_PROTOCOL_VERSION = 43
    STATUS_MESSAGES_REJECTED = 44
    NATIVE_RESOURCE_AGENT_PROXY_FAILS = 45


def format_duration(duration_ns: int) -> str:
    """Return a duration in the largest of s, ms, us and ns that divides it evenly."""
    for unit, length_ns in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if duration_ns % length_ns == 0:
            return f"{duration_ns // length_ns}{unit}"
    return f"{duration_ns}ns"


@dataclass(frozen=True)
class SystemLabels:
    """What the labels name besides the counter."""

    version: str
    commit: str
    threading_mode: str  #: ``DEDICATED``, ``SHARED_NETWORK``, ``SHARED`` or ``INVOKER``
    resolver_name: str = ""
    conductor_threshold_ns: int = 100_000_000
    sender_threshold_ns: int = 100_000_000
    receiver_threshold_ns: int = 100_000_000
    name_resolver_threshold_ns: int = 5_000_000_000

    def label(self, counter: SystemCounter) -> str:
        """Return a system counter's label."""
        suffix = {
            SystemCounter.ERRORS: self._build,
            SystemCounter.AERON_VERSION: self._build,
            SystemCounter.RESOLUTION_CHANGES: f": driverName={self.resolver_name}",
            SystemCounter.CONDUCTOR_MAX_CYCLE_TIME: f": {self.threading_mode}",
            SystemCounter.SENDER_MAX_CYCLE_TIME: f": {self.threading_mode}",
            SystemCounter.RECEIVER_MAX_CYCLE_TIME: f": {self.threading_mode}",
            SystemCounter.CONDUCTOR_CYCLE_TIME_THRESHOLD_EXCEEDED: self._threshold(self.conductor_threshold_ns),
            SystemCounter.SENDER_CYCLE_TIME_THRESHOLD_EXCEEDED: self._threshold(self.sender_threshold_ns),
            SystemCounter.RECEIVER_CYCLE_TIME_THRESHOLD_EXCEEDED: self._threshold(self.receiver_threshold_ns),
            SystemCounter.NAME_RESOLVER_TIME_THRESHOLD_EXCEEDED: (
                f": threshold={format_duration(self.name_resolver_threshold_ns)}"
            ),
        }.get(counter, "")
        return _LABELS[counter] + suffix

    @property
    def _build(self) -> str:
        return f": version={self.version} commit={self.commit}"

    def _threshold(self, threshold_ns: int) -> str:
        return f": threshold={format_duration(threshold_ns)} {self.threading_mode}"


_LABELS: tuple[str, ...] = (
    "Bytes sent",
    "Bytes received",
    "Failed offers to ReceiverProxy",
    "Failed offers to SenderProxy",
    "Failed offers to DriverConductorProxy",
    "NAKs sent",
    "NAKs received",
    "Status Messages sent",
    "Status Messages received",
    "Heartbeats sent",
    "Heartbeats received",
    "Retransmits sent",
    "Flow control under runs",
    "Flow control over runs",
    "Invalid packets",
    "Errors",
    "Short sends",
    "Failed attempts to free log buffers",
    "Sender flow control limits, i.e. back-pressure events",
    "Unblocked Publications",
    "Unblocked Control Commands",
    "Possible TTL Asymmetry",
    "ControllableIdleStrategy status",
    "Loss gap fills",
    "Client liveness timeouts",
    "Resolution changes",
    "Conductor max cycle time doing its work in ns",
    "Conductor work cycle exceeded threshold count",
    "Sender max cycle time doing its work in ns",
    "Sender work cycle exceeded threshold count",
    "Receiver max cycle time doing its work in ns",
    "Receiver work cycle exceeded threshold count",
    "NameResolver max time in ns",
    "NameResolver exceeded threshold count",
    "Aeron software",
    "Bytes currently mapped",
    "Retransmitted bytes",
    "Retransmit Pool Overflow count",
    "Error Frames received",
    "Error Frames sent",
    "Publications Revoked",
    "Publication Images Revoked",
    "Images rejected",
    "Control protocol version",
    "Status Messages rejected",
    "Failed offers to NativeResourceAgentProxy",
)


def allocate_system_counters(manager: CountersManager, labels: SystemLabels, *, now_ms: int) -> None:
    """Allocate all system counters; the first allocation of a manager.

    :raises RuntimeError: if ids were taken before.
    """
    for counter in SystemCounter:
        counter_id = manager.allocate(
            CounterType.SYSTEM,
            labels.label(counter),
            index_key(counter),
            now_ms=now_ms,
            registration_id=counter,
            owner_id=OWNER_ID,
        )
        if counter_id != counter:
            raise RuntimeError(
                f"system counter {counter.name} got id {counter_id}; they are allocated before all others"
            )


def free_system_counters(manager: CountersManager, *, now_ms: int) -> None:
    """Free all system counters, when the driver closes."""
    for counter in SystemCounter:
        manager.free(counter, now_ms=now_ms)
