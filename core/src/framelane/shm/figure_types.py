"""Type ids of transports' figures: those that Aeron reserves, where it has one for what is counted (bypass 6.8)."""

from __future__ import annotations

from dataclasses import dataclass

from framelane.shm.counter_types import CounterType

__all__ = ["RESERVED_TYPES", "ReservedType", "figure_type"]


@dataclass(frozen=True)
class ReservedType:
    """A type id that Aeron reserves for a transport; ``docs/counters.md`` lists them."""

    type_id: int
    transport: str
    name: str  #: Aeron's
    figures: tuple[str, ...]  #: shown under it, each without the transport's name before it


#: The one table. Aeron publishes ids and names, but neither labels nor keys; types without a figure are not used.
RESERVED_TYPES = (
    ReservedType(52, "efvi", "TX_NOBUFS", ("tx-nobufs",)),
    ReservedType(53, "efvi", "TX_EAGAIN", ("tx-eagain",)),
    ReservedType(54, "efvi", "TX_ERROR", ("tx-error",)),
    ReservedType(55, "efvi", "RX_DISCARD", ("rx-discard", "rx-sender-discard", "rx-receiver-discard")),
    ReservedType(56, "efvi", "RX_INVALID", ("rx-invalid", "rx-malformed")),
    ReservedType(57, "efvi", "RX_PKTS", ("rx-pkts",)),
    ReservedType(58, "efvi", "RX_BYTES", ("rx-bytes",)),
    ReservedType(59, "efvi", "TX_PKTS", ("tx-pkts",)),
    ReservedType(60, "efvi", "TX_BYTES", ("tx-bytes",)),
    ReservedType(61, "vma", "TRANSPORTS", ("transports",)),
    ReservedType(62, "vma", "RX_ZERO_COPY_BYTES", ("rx-zero-copy-bytes",)),
    ReservedType(63, "vma", "RX_DATA_COPY_BYTES", ("rx-data-copy-bytes",)),
    ReservedType(77, "dpdk", "NOBUFS", ("tx-nobufs", "rx-nombuf")),
    ReservedType(78, "dpdk", "TX_EAGAIN", ("tx-eagain",)),
    ReservedType(79, "dpdk", "ERROR", ("tx-error", "tx-refused", "rx-error")),
    ReservedType(82, "dpdk", "PKTS", ("rx-pkts", "tx-pkts")),
    ReservedType(83, "dpdk", "BYTES", ("rx-bytes", "tx-bytes")),
    ReservedType(84, "dpdk", "MISSED_PACKETS", ("rx-missed",)),
    ReservedType(85, "dpdk", "ARP_MISS", ("arp-miss",)),
    ReservedType(86, "dpdk", "RX_SENDER_DISCARD", ("rx-sender-discard",)),
    ReservedType(
        89,
        "dpdk",
        "CHECKSUM_FAILURE",
        ("rx-checksum-failure-ip", "rx-checksum-failure-udp", "rx-checksum-failure-control"),
    ),
    ReservedType(90, "dpdk", "FRAGMENTED_PACKETS", ("rx-fragments",)),
    ReservedType(91, "dpdk", "MEMPOOL_AVAILABLE", ("mempool-available",)),
    ReservedType(92, "dpdk", "EXTENDED_STATS", ("xstat-*",)),
    ReservedType(93, "dpdk", "RX_UNSUPPORTED_ETHERNET_TYPE", ("rx-unsupported-ethernet-type",)),
    ReservedType(94, "dpdk", "RX_UNSUPPORTED_PROTOCOL", ("rx-unsupported-protocol",)),
    ReservedType(95, "dpdk", "RX_RECEIVER_DISCARD", ("rx-receiver-discard",)),
)

_BY_LABEL = {f"{row.transport}-{figure}": row.type_id for row in RESERVED_TYPES for figure in row.figures}
_BY_PREFIX = {label[:-1]: type_id for label, type_id in _BY_LABEL.items() if label.endswith("*")}


def figure_type(label: str) -> int:
    """Return the type id of a transport's figure such as ``dpdk-rx-fragments``."""
    for prefix, type_id in _BY_PREFIX.items():
        if label.startswith(prefix):
            return type_id
    return _BY_LABEL.get(label, CounterType.TRANSPORT_FIGURE)
