"""Which transport serves which endpoint, and why: shown in counters, for tools of any process (docs/counters.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from framelane.driver.counters import STATIC_OWNER, Counters
from framelane.shm.counter_types import CounterType, TransportKey
from framelane.shm.counters import Counter
from framelane.transport.selection import Chosen

__all__ = ["ServedEndpoint", "read_verdicts", "show_verdict"]

_STATUS_TYPES = (CounterType.SEND_CHANNEL_STATUS, CounterType.RECEIVE_CHANNEL_STATUS)


@dataclass(frozen=True)
class ServedEndpoint:
    """One endpoint as its driver shows it.

    :ivar label: of its channel status counter: ``snd-channel: CHANNEL ADDRESS``.
    :ivar status: value of that counter, ``ChannelStatus``.
    :ivar passed_over: names and reasons of the transports before it in the order, first one first.
    """

    label: str
    status: int
    transport: str
    why: str
    passed_over: tuple[tuple[str, str], ...]


def show_verdict(counters: Counters, chosen: Chosen, channel_status_id: int) -> list[int]:
    """Allocate the counters of one endpoint: one for its transport, one for each that was passed over.

    :raises CommandError: if the counter table is full; nothing is allocated then.
    """
    verdict = [(CounterType.TRANSPORT_PASSED_OVER, one.name, one.why) for one in chosen.passed_over]
    verdict.append((CounterType.TRANSPORT_ENDPOINT, chosen.transport, chosen.why))
    allocated: list[int] = []
    try:
        for place, (type_id, name, why) in enumerate(verdict):
            allocated.append(
                counters.allocate(
                    type_id,
                    TransportKey(channel_status_id, place, name).encode(),
                    _prefix(type_id, channel_status_id, name) + why,
                    registration_id=channel_status_id,
                    owner_id=STATIC_OWNER,
                    value=place,
                )
            )
    except BaseException:
        for counter_id in allocated:
            counters.free(counter_id)
        raise
    return allocated


def _prefix(type_id: int, channel_status_id: int, name: str) -> str:
    word = "transport" if type_id == CounterType.TRANSPORT_ENDPOINT else "transport-passed-over"
    return f"{word}: {channel_status_id} {name} "


def read_verdicts(counters: Iterable[Counter]) -> list[ServedEndpoint]:
    """Return the endpoints of a driver from its counters; one that is being made or closed may be left out."""
    statuses: dict[int, Counter] = {}
    serving: dict[int, tuple[str, str]] = {}
    passed_over: dict[int, list[tuple[int, str, str]]] = {}
    for counter in counters:
        if counter.type_id in _STATUS_TYPES:
            statuses[counter.id] = counter
        elif counter.type_id in (CounterType.TRANSPORT_ENDPOINT, CounterType.TRANSPORT_PASSED_OVER):
            key = TransportKey.decode(counter.key)
            prefix = _prefix(counter.type_id, key.channel_status_counter_id, key.transport)
            why = counter.label.removeprefix(prefix)
            if counter.type_id == CounterType.TRANSPORT_ENDPOINT:
                serving[key.channel_status_counter_id] = (key.transport, why)
            else:
                passed_over.setdefault(key.channel_status_counter_id, []).append((key.place, key.transport, why))
    return [
        ServedEndpoint(
            status.label,
            status.value,
            *serving[counter_id],
            tuple((name, why) for _, name, why in sorted(passed_over.get(counter_id, []))),
        )
        for counter_id, status in statuses.items()
        if counter_id in serving
    ]
