"""``framelane errors`` and ``framelane loss``: what went wrong in a driver, and what its images lost."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from framelane.cli.options import JsonOption, make_console, print_json
from framelane.cli.running import DirectoryOption, view_driver
from framelane.errors import FramelaneError
from framelane.shm.directory import resolve_directory
from framelane.shm.error_log import format_errors
from framelane.shm.loss_report import LOSS_REPORT_FILE, LossEntry, read_losses

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``errors`` and ``loss``."""
    app.command("errors")(errors)
    app.command("loss")(loss)


def errors(
    directory: DirectoryOption = None,
    since: Annotated[
        datetime | None, typer.Option("--since", metavar="TIME", help="Only errors seen at or after this local time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the driver's distinct errors. A driver that died is looked at as well."""
    since_ms = 0 if since is None else int(since.timestamp() * 1000)
    with view_driver(directory) as cnc:
        entries = cnc.errors(since_ms=since_ms)
        if as_json:
            print_json({"errors": [asdict(entry) for entry in entries]})
        else:
            print(format_errors(entries), end="")


def loss(directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Show what images lost: gaps that had to be asked for, or were given up."""
    path = resolve_directory(directory) / LOSS_REPORT_FILE
    if not path.exists():
        raise FramelaneError(
            f"{path} does not exist: no driver serves that directory; name its directory with --dir or AERON_DIR"
        )
    entries = list(read_losses(path))
    if as_json:
        print_json({"losses": [asdict(entry) for entry in entries]})
        return
    if not entries:
        print("no losses")
        return
    _print_losses(entries)


def _print_losses(entries: list[LossEntry]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("observations", "bytes"):
        table.add_column(column, justify="right")
    for column in ("first", "last", "session", "stream", "source", "channel"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(
            f"{entry.observation_count:,}",
            f"{entry.total_bytes_lost:,}",
            _time(entry.first_observation_ms),
            _time(entry.last_observation_ms),
            str(entry.session_id),
            str(entry.stream_id),
            entry.source,
            entry.channel,
        )
    make_console().print(table)


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000).isoformat(sep=" ", timespec="milliseconds")
