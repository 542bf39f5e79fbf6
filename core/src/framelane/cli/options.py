"""Options and output that sub-commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ConfigOption", "JsonOption", "SetOption", "StrictOption", "make_console", "print_json", "warn"]

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file; else the one that FRAMELANE_CONFIG names, if any."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as driver.mtu_length=8k; may be repeated."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Unknown AERON_* and FRAMELANE_* names in the environment are errors.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: object) -> None:
    """Print a value as JSON for machines and people."""
    print(json.dumps(value, indent=2))


def warn(text: str) -> None:
    """Print a warning where it does not mix with output."""
    print(f"framelane: warning: {text}", file=sys.stderr)


def make_console() -> Console:
    """Return a console for tables; into a file or a pipe, lines are not cut to the width of some terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 240
    return console
