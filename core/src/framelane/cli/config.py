"""``framelane config``: check a configuration file; show resolved settings and where each came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import to_jsonable_python

from framelane.cli.options import ConfigOption, JsonOption, SetOption, StrictOption, make_console, print_json, warn
from framelane.driver.model import REMARKS, DriverSettings, kind_of
from framelane.driver.settings import ResolvedSettings, load_settings
from framelane.transport.registry import discover

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``config`` with its sub-commands."""
    group = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
    group.command("check")(check)
    group.command("show")(show)
    app.add_typer(group, name="config")


def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file.")]) -> None:
    """Check a configuration file by itself, without the environment; print every problem at once."""
    settings = load_settings(file, environ={}, registry=discover())
    for warning in settings.warnings:
        warn(warning)
    print(f"{file}: ok")


def show(
    config: ConfigOption = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not at its default.")] = False,
) -> None:
    """Show every setting as a driver started now would have it, and where its value came from."""
    settings = load_settings(config, overrides=overrides or (), strict=strict)
    rows = [row for row in resolved_rows(settings) if not changed or row.source != "default"]
    if as_json:
        print_json(
            {
                "settings": [
                    {"key": row.key, "value": row.value, "source": row.source, "remark": row.remark} for row in rows
                ],
                "warnings": list(settings.warnings),
            }
        )
        return
    for warning in settings.warnings:
        warn(warning)
    _print_table(rows)


@dataclass(frozen=True)
class Row:
    """One setting, for people and for machines."""

    key: str
    value: Any  #: as JSON takes it: bytes and nanoseconds as numbers
    shown: str
    source: str
    remark: str


def resolved_rows(settings: ResolvedSettings) -> list[Row]:
    """Return every resolved setting, the plugins' included, in the order of the documentation."""
    rows = []
    for name in DriverSettings.model_fields:
        value, source = getattr(settings.driver, name), settings.source(f"driver.{name}")
        remark = REMARKS.get(name, "") if source == "default" else ""
        rows.append(Row(f"driver.{name}", to_jsonable_python(value), kind_of(name).show(value), source, remark))
    transport = settings.transport
    rules = [rule.model_dump(mode="json", exclude_none=True) for rule in transport.rules]
    for name, value, shown in (
        ("use", list(transport.use), ", ".join(transport.use)),
        ("require", transport.require, transport.require or ""),
        ("rules", rules, "; ".join(f"{rule}: {rule.transport}" for rule in transport.rules)),
    ):
        remark = "among what is installed" if name == "use" and transport.use_is_default else ""
        rows.append(Row(f"transport.{name}", value, shown, settings.source(f"transport.{name}"), remark))
    for plugin, model in sorted(transport.plugins.items()):
        for name, value in model.model_dump(mode="json").items():
            key = f"transport.{plugin}.{name}"
            rows.append(Row(key, value, _shown(value), settings.source(key), ""))
    return rows


def _shown(value: object) -> str:
    """Return a plugin's value as people write it."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_shown(one)}" for key, one in value.items()) + " }"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _print_table(rows: list[Row]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        source = f"{row.source} ({row.remark})" if row.remark else row.source
        table.add_row(row.key, row.shown or "-", source)
    make_console().print(table)
