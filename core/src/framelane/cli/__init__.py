"""The command line. A sub-command's module is imported when it is asked for, so that start-up stays fast."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from framelane.errors import FramelaneError
from framelane.interrupts import end_with_parent, hold

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
    hold()  # until the command can be interrupted, which is when all is imported
    end_with_parent()
    if arguments is None:
        arguments = sys.argv[1:]
    from framelane.cli.app import build  # not above: framelaned, which needs no typer, is a module of this package

    try:
        build(arguments)(list(arguments), prog_name="framelane")
    except FramelaneError as error:
        print(f"framelane: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
