"""The command line. A sub-command's module is imported when it is asked for, so that start-up stays fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from framelane.errors import FramelaneError

__all__ = ["COMMANDS", "main"]

#: From sub-command to the module whose ``register(app)`` adds it, perhaps with others. A new command is one line here.
COMMANDS = {
    "bench": "framelane.cli.bench",
    "config": "framelane.cli.config",
    "demo": "framelane.cli.demo",
    "doctor": "framelane.cli.doctor",
    "driver": "framelane.cli.driver",
    "errors": "framelane.cli.reports",
    "loss": "framelane.cli.reports",
    "ping": "framelane.cli.ping",
    "pong": "framelane.cli.ping",
    "publish": "framelane.cli.publish",
    "stat": "framelane.cli.stat",
    "streams": "framelane.cli.streams",
    "subscribe": "framelane.cli.subscribe",
    "transports": "framelane.cli.transports",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command ``framelane`` and exit: 0 on success, 1 on failure, 2 on wrong usage.

    :param arguments: ``None``: those of the process.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        _build(arguments)(list(arguments), prog_name="framelane")
    except FramelaneError as error:
        print(f"framelane: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def _build(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the commands that these arguments can mean."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_root)
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    if command in COMMANDS:
        importlib.import_module(COMMANDS[command]).register(app)
        return app
    _register_plugins(app)
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
