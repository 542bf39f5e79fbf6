"""The typer application, made of the sub-commands that are asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from framelane.cli import COMMANDS

__all__ = ["build"]


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the commands that these arguments can mean."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_root)
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    if command in COMMANDS:
        importlib.import_module(COMMANDS[command]).register(app)
        return app
    _register_plugins(app)
    if command in {group.name for group in app.registered_groups}:  # a plugin's, such as `framelane dpdk`
        return app
    for module in dict.fromkeys(COMMANDS.values()):  # after the plugins: the last of a name wins
        importlib.import_module(module).register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from framelane import __version__

        print(f"framelane {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An Aeron-compatible media driver whose network side is pluggable."""


def _register_plugins(app: typer.Typer) -> None:
    from framelane.transport.registry import discover

    for failure in discover().call_each(lambda hooks: hooks.framelane_register_commands(app=app)):
        claim = failure.plugin.claim
        print(
            f"framelane: warning: the commands of transport {claim.name} ({claim.distribution} {claim.version}) "
            f"are missing: {type(failure.error).__name__}: {failure.error}",
            file=sys.stderr,
        )
