"""``framelane streams``: publications, images and subscribers of a driver, from its counters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import typer

from framelane.cli.options import JsonOption, make_console, print_json
from framelane.cli.running import DirectoryOption, view_driver
from framelane.driver.verdicts import read_verdicts
from framelane.shm.counter_types import CounterType, StreamKey
from framelane.shm.counters import Counter, CountersReader

__all__ = ["register"]

_PUBLICATION = {
    CounterType.PUBLISHER_POSITION: "publisher_position",
    CounterType.PUBLISHER_LIMIT: "publisher_limit",
    CounterType.SENDER_POSITION: "sender_position",
    CounterType.SENDER_LIMIT: "sender_limit",
    CounterType.SENDER_BACK_PRESSURE: "back_pressure_events",
    CounterType.SENDER_NAKS_RECEIVED: "naks_received",
}
_IMAGE = {
    CounterType.RECEIVER_HWM: "high_water_mark",
    CounterType.RECEIVER_POSITION: "rebuild_position",
    CounterType.RECEIVER_NAKS_SENT: "naks_sent",
}


def register(app: typer.Typer) -> None:
    """Add ``streams``."""
    app.command("streams")(streams)


@dataclass
class Subscriber:
    """A subscription that reads a stream."""

    registration_id: int
    client_id: int
    position: int
    joined_at: int | None


@dataclass
class Stream:
    """A publication or an image, with what its counters say."""

    kind: str  #: ``publication`` or ``image``
    registration_id: int
    session_id: int
    stream_id: int
    channel: str
    counters: dict[str, int] = field(default_factory=dict)
    subscribers: list[Subscriber] = field(default_factory=list)


def streams(directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Show publications and images, their positions, who subscribes to them, and which transport serves an endpoint."""
    with view_driver(directory) as cnc:
        found = collect(cnc.counters())
        endpoints = read_verdicts(cnc.counters())
    if as_json:
        print_json(
            {
                "streams": [asdict(stream) for stream in found],
                "endpoints": [asdict(endpoint) for endpoint in endpoints],
            }
        )
        return
    _print(found)
    for endpoint in endpoints:
        print(f"{endpoint.label}: {endpoint.transport} ({endpoint.why})")
        for name, why in endpoint.passed_over:
            print(f"  not {name:<10} {why}")


def collect(counters: CountersReader) -> list[Stream]:
    """Return the streams that the counters tell of, by registration id."""
    found: dict[int, Stream] = {}
    positions: list[Counter] = []
    for counter in counters:
        if counter.type_id == CounterType.SUBSCRIBER_POSITION:
            positions.append(counter)
            continue
        for kind, names in (("publication", _PUBLICATION), ("image", _IMAGE)):
            name = names.get(counter.type_id)  # type: ignore[call-overload]
            if name is not None:
                key = StreamKey.decode(counter.key)
                stream = found.setdefault(
                    counter.registration_id,
                    Stream(kind, counter.registration_id, key.session_id, key.stream_id, _channel(counter)),
                )
                stream.counters[name] = counter.value
    for counter in positions:
        stream_of = found.get(counter.reference_id)
        if stream_of is not None:
            subscriber = Subscriber(counter.registration_id, counter.owner_id, counter.value, _joined_at(counter))
            stream_of.subscribers.append(subscriber)
    return sorted(found.values(), key=lambda stream: stream.registration_id)


def _channel(counter: Counter) -> str:
    """Return the channel as the label has it: the key cuts it (shm 5.5, 5.6)."""
    words = counter.label.partition(": ")[2].split(" ", 3)
    return words[3] if len(words) == 4 else StreamKey.decode(counter.key).channel


def _joined_at(counter: Counter) -> int | None:
    text = counter.label.rpartition(" @")[2]
    return int(text) if text.isdecimal() else None


def _print(found: list[Stream]) -> None:
    from rich.table import Table

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (
        ("kind", "left"),
        ("id", "right"),
        ("session", "right"),
        ("stream", "right"),
        ("position", "right"),
        ("behind", "right"),
        ("channel", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for stream in found:
        values = stream.counters
        names = (
            ("publisher_position", "sender_position")
            if stream.kind == "publication"
            else ("high_water_mark", "rebuild_position")
        )
        position = values.get(names[0], 0)
        behind = position - values.get(names[1], position)
        ids = (str(stream.registration_id), str(stream.session_id), str(stream.stream_id))
        table.add_row(stream.kind, *ids, f"{position:,}", f"{behind:,}" if behind else "", stream.channel)
        for subscriber in stream.subscribers:
            behind = position - subscriber.position
            table.add_row(
                "  subscriber",
                str(subscriber.registration_id),
                "",
                "",
                f"{subscriber.position:,}",
                f"{behind:,}" if behind else "",
                f"client {subscriber.client_id}",
            )
    if found:
        console.print(table)
    else:
        console.print("no streams")
