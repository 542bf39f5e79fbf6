"""``framelane ping`` and ``framelane pong``: round trips, and their distribution."""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framelane.cli.options import JsonOption, make_console, print_json
from framelane.cli.running import (
    DirectoryOption,
    TimeoutOption,
    connect,
    make_progress,
    stderr_console,
    wait_for,
)
from framelane.errors import FramelaneError

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from framelane.client import Client, ExclusivePublication, Subscription

__all__ = ["PERCENTILES", "measure", "new_histogram", "register", "summary"]

PING_CHANNEL = "aeron:udp?endpoint=localhost:20123"
PING_STREAM = 1002
PONG_CHANNEL = "aeron:udp?endpoint=localhost:20124"
PONG_STREAM = 1003
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)

_STAMP = struct.Struct("<q")
_LONGEST_NS = 10_000_000_000
_REPLY_TIMEOUT_S = 5.0
_SPIN_NS = 20_000_000
_IDLE_S = 0.0005

PingChannelOption = Annotated[str, typer.Option("--ping-channel", "-c", metavar="URI", help="Channel of the pings.")]
PingStreamOption = Annotated[int, typer.Option("--ping-stream", "-s", help="Stream id of the pings.")]
PongChannelOption = Annotated[str, typer.Option("--pong-channel", "-C", metavar="URI", help="Channel of the answers.")]
PongStreamOption = Annotated[int, typer.Option("--pong-stream", "-S", help="Stream id of the answers.")]


def register(app: typer.Typer) -> None:
    """Add ``ping`` and ``pong``."""
    app.command("ping")(ping)
    app.command("pong")(pong)


def ping(
    directory: DirectoryOption = None,
    ping_channel: PingChannelOption = PING_CHANNEL,
    ping_stream: PingStreamOption = PING_STREAM,
    pong_channel: PongChannelOption = PONG_CHANNEL,
    pong_stream: PongStreamOption = PONG_STREAM,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Round trips that count.")] = 10_000,
    warmup: Annotated[int, typer.Option("--warmup", "-w", min=0, help="Round trips before.")] = 1000,
    length: Annotated[int, typer.Option("--length", "-L", min=8, help="Bytes of a message.")] = 32,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send messages that `framelane pong`, or a stock pong, returns; print how long they took."""
    with connect(directory, "ping") as client:
        subscription = client.add_subscription(pong_channel, pong_stream)
        publication = client.add_exclusive_publication(ping_channel, ping_stream)
        wait_for(
            lambda: (publication.is_connected and subscription.is_connected) or client.is_closed,
            timeout,
            f"{ping_channel} stream {ping_stream}: no pong answered",
        )
        histogram = measure(publication, subscription, count=count, warmup=warmup, length=length)
    if as_json:
        print_json(summary(histogram) | {"message_length": length, "bars": bars(histogram)})
    else:
        print_histogram(histogram)


def new_histogram() -> HdrHistogram:
    """Return an empty histogram of nanoseconds, three digits exact."""
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(1, _LONGEST_NS, 3)


def measure(
    publication: ExclusivePublication, subscription: Subscription, *, count: int, warmup: int, length: int
) -> HdrHistogram:
    """Measure round trips one after another, in nanoseconds."""
    histogram = new_histogram()
    message = bytearray(length)
    with make_progress(counts_bytes=False) as progress:
        task = progress.add_task("round trips", total=warmup + count)
        for i in range(warmup + count):
            elapsed_ns = _round_trip(publication, subscription, message)
            if i >= warmup:
                histogram.record_value(min(elapsed_ns, _LONGEST_NS))
            if i & 255 == 0:
                progress.update(task, completed=i)
        progress.update(task, completed=warmup + count)
    return histogram


def _round_trip(publication: ExclusivePublication, subscription: Subscription, message: bytearray) -> int:
    sent_ns = time.perf_counter_ns()
    _STAMP.pack_into(message, 0, sent_ns)
    if publication.offer(message) < 0:
        publication.offer_blocking(message, _REPLY_TIMEOUT_S)
    limit_ns = sent_ns + int(_REPLY_TIMEOUT_S * 1e9)
    while True:
        batch = subscription.poll_batch(8)
        if batch:
            now_ns = time.perf_counter_ns()
            # Answers to others, or to pings that were given up, carry other stamps.
            for reply in batch:
                if len(reply) >= _STAMP.size and _STAMP.unpack_from(reply)[0] == sent_ns:
                    return now_ns - sent_ns
            continue
        os.sched_yield()
        if time.perf_counter_ns() > limit_ns:
            raise FramelaneError(
                f"{publication.channel} stream {publication.stream_id}: no answer within {_REPLY_TIMEOUT_S:g} s; "
                "is the pong still there?"
            )


def summary(histogram: HdrHistogram) -> dict[str, Any]:
    """Return a histogram for machines; times in nanoseconds."""
    return {
        "count": histogram.get_total_count(),
        "unit": "ns",
        "min": histogram.get_min_value(),
        "mean": histogram.get_mean_value(),
        "max": histogram.get_max_value(),
        "percentiles": {f"{p:g}": histogram.get_value_at_percentile(p) for p in PERCENTILES},
    }


def print_histogram(histogram: HdrHistogram) -> None:
    """Print a histogram as a table, and its shape as bars."""
    from rich.table import Table

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("percentile", "round trip"):
        table.add_column(column, justify="right")
    table.add_row("min", f"{histogram.get_min_value() / 1000:,.1f} us")
    for percentile in PERCENTILES:
        table.add_row(f"{percentile:g} %", f"{histogram.get_value_at_percentile(percentile) / 1000:,.1f} us")
    table.add_row("mean", f"{histogram.get_mean_value() / 1000:,.1f} us")
    console.print(table)
    console.print()
    for line in bars(histogram):
        console.print(line)


def bars(histogram: HdrHistogram, width: int = 50) -> list[str]:
    """Return lines that show how many round trips took how long, in steps of a factor of two."""
    counts: dict[int, int] = {}
    for item in histogram.get_recorded_iterator():
        step = max(0, int(item.value_iterated_to // 1000).bit_length())
        counts[step] = counts.get(step, 0) + item.count_added_in_this_iter_step
    if not counts:
        return []
    most = max(counts.values())
    lines = []
    for step in range(min(counts), max(counts) + 1):
        found = counts.get(step, 0)
        bar = "#" * -(-found * width // most)
        lines.append(f"{'<' + format(1 << step, ','):>10} us {found:>9} {bar}")
    return lines


def pong(
    directory: DirectoryOption = None,
    ping_channel: PingChannelOption = PING_CHANNEL,
    ping_stream: PingStreamOption = PING_STREAM,
    pong_channel: PongChannelOption = PONG_CHANNEL,
    pong_stream: PongStreamOption = PONG_STREAM,
) -> None:
    """Return every message, until interrupted."""
    with connect(directory, "pong") as client:
        subscription = client.add_subscription(ping_channel, ping_stream)
        publication = client.add_exclusive_publication(pong_channel, pong_stream)
        stderr_console().print(f"answering {ping_channel} stream {ping_stream} on {pong_channel} stream {pong_stream}")
        _answer(client, subscription, publication)


def _answer(client: Client, subscription: Subscription, publication: ExclusivePublication) -> None:
    active_ns = time.perf_counter_ns()
    while not client.is_closed:
        batch = subscription.poll_batch(8)
        if batch:
            for message in batch:
                # An answer that nobody takes is not worth waiting for: the ping has given it up.
                for _ in range(64):
                    if publication.offer(message) != publication.ADMIN_ACTION:
                        break
            batch.release()
            active_ns = time.perf_counter_ns()
            continue
        os.sched_yield()
        if time.perf_counter_ns() - active_ns > _SPIN_NS:
            time.sleep(_IDLE_S)
    subscription.poll_batch()  # raises, and says why the client is closed
