"""``framelane stat``: the driver's counters, once or live."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framelane.cli.options import JsonOption, print_json
from framelane.cli.running import DirectoryOption, view_driver
from framelane.shm.cnc import HEARTBEAT_CLOSED, CncFile, version_text

if TYPE_CHECKING:
    from framelane.shm.counters import Counter

__all__ = ["register"]

_VALUE_WIDTH = 26


def register(app: typer.Typer) -> None:
    """Add ``stat``."""
    app.command("stat")(stat)


def stat(
    directory: DirectoryOption = None,
    pattern: Annotated[str | None, typer.Argument(metavar="TEXT", help="Only labels with this text.")] = None,
    type_id: Annotated[int | None, typer.Option("--type", help="Only counters of this type id.")] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--once", help="Refresh until interrupted; by default on a terminal.")
    ] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds between refreshes.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Show the driver's counters, as the stock tool does, with how fast they grow when live."""
    with view_driver(directory) as cnc:
        if as_json:
            print_json(_document(cnc, _chosen(cnc, pattern, type_id)))
        elif live or (live is None and sys.stdout.isatty()):
            _show_live(cnc, pattern, type_id, interval)
        else:
            print(_title(cnc))
            for counter in _chosen(cnc, pattern, type_id):
                print(_line(cnc, counter))


def _chosen(cnc: CncFile, pattern: str | None, type_id: int | None) -> list[Counter]:
    return [
        counter
        for counter in cnc.counters()
        if (pattern is None or pattern.lower() in counter.label.lower())
        and (type_id is None or counter.type_id == type_id)
    ]


def _heartbeat_age_ms(cnc: CncFile) -> int | None:
    """Return the age of the driver's last sign of life; ``None`` if it closed the file."""
    heartbeat_ms = cnc.to_driver().heartbeat_ms()
    return None if heartbeat_ms == HEARTBEAT_CLOSED else time.time_ns() // 1_000_000 - heartbeat_ms


def _title(cnc: CncFile) -> str:
    age_ms = _heartbeat_age_ms(cnc)
    life = "closed" if age_ms is None else f"heartbeat age {age_ms} ms"
    return f"{cnc.path.parent} - CnC v{version_text(cnc.version)}, pid {cnc.metadata.pid}, {life}"


def _line(cnc: CncFile, counter: Counter) -> str:
    width = len(str(cnc.counters().max_counter_id))
    return f"{counter.id:>{width}}: {counter.value:>{_VALUE_WIDTH},} - {counter.label}"


def _document(cnc: CncFile, counters: list[Counter]) -> dict[str, Any]:
    return {
        "directory": str(cnc.path.parent),
        "cnc_version": version_text(cnc.version),
        "pid": cnc.metadata.pid,
        "heartbeat_age_ms": _heartbeat_age_ms(cnc),
        "counters": [
            {
                "id": counter.id,
                "type_id": counter.type_id,
                "value": counter.value,
                "label": counter.label,
                "registration_id": counter.registration_id,
                "owner_id": counter.owner_id,
                "reference_id": counter.reference_id,
            }
            for counter in counters
        ],
    }


def _show_live(cnc: CncFile, pattern: str | None, type_id: int | None, interval_s: float) -> None:
    from rich.live import Live
    from rich.table import Table

    from framelane.cli.options import make_console

    previous: dict[int, int] = {}
    before = time.monotonic()
    with Live(console=make_console(), auto_refresh=False, screen=False, vertical_overflow="ellipsis") as screen:
        while True:
            now = time.monotonic()
            counters = _chosen(cnc, pattern, type_id)
            table = Table(box=None, pad_edge=False, title=_title(cnc), title_justify="left", header_style="bold")
            table.add_column("id", justify="right")
            table.add_column("value", justify="right")
            table.add_column("per second", justify="right")
            table.add_column("label", overflow="ellipsis", no_wrap=True)
            for counter in counters:
                grown = counter.value - previous.get(counter.id, counter.value)
                rate = f"{grown / (now - before):,.0f}" if grown else ""
                table.add_row(str(counter.id), f"{counter.value:,}", rate, counter.label)
            screen.update(table, refresh=True)
            previous = {counter.id: counter.value for counter in counters}
            before = now
            time.sleep(interval_s)
