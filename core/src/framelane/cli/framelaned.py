"""``framelaned``: the drop-in for ``aeronmd``.

Takes the stock driver's arguments and environment, prints nothing while all is well, and exits 0 after SIGTERM, SIGINT
or a termination request that the driver's validator allowed. Warnings, such as a fallback to another transport, go to
standard error; what clients do wrong is in the error log of the driver directory.

The driver is imported after the arguments are read, and nothing here may need typer or rich: a start is to be short.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from framelane.errors import ConfigError, FramelaneError
from framelane.interrupts import INTERRUPTS, end_with_parent, hold

if TYPE_CHECKING:
    from framelane.driver.settings import Property

__all__ = ["main"]

USAGE = """\
usage: framelaned [-v] [-h] [-Dname=value ...] [property file ...]

  -Dname=value    set a property, such as -Daeron.term.buffer.length=1m
  property file   lines of name=value; later ones win, and -D wins by its place among them
  -v              print the version and exit
  -h              print this and exit

Works with no argument, configured by AERON_* environment variables alone. FRAMELANE_CONFIG names a TOML file.
`framelane config show` prints what is in force, and where each value came from.
"""


class _UsageError(Exception):
    """An argument that is not understood."""


def _properties(arguments: Sequence[str]) -> list[Property]:
    from framelane.driver.settings import parse_definition, read_property_file

    properties: list[Property] = []
    pending = iter(arguments)
    for argument in pending:
        if argument == "-D":
            argument = "-D" + next(pending, "")
        if argument.startswith("-D"):
            properties.append(parse_definition(argument))
        elif argument.startswith("-"):
            raise _UsageError(f"unknown argument {argument}")
        else:
            properties.extend(read_property_file(Path(argument)))
    return properties


def _tell_service_manager(state: str) -> None:
    """Tell systemd, if it started this process and wants to know (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a media driver until it is asked to end.

    :param arguments: ``None``: those of the process.
    :returns: the exit status: 0 after an orderly end, 1 if the driver cannot run, 2 for wrong usage.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    if "-v" in arguments or "--version" in arguments:
        from framelane import __version__

        print(f"framelaned {__version__}")
        return 0
    # Blocked before any thread exists, so that the main thread alone takes them, with sigwait.
    hold()
    end_with_parent()
    from framelane.driver.log import show_warnings
    from framelane.driver.media_driver import MediaDriver
    from framelane.driver.settings import load_settings

    show_warnings("framelaned")
    try:
        settings = load_settings(properties=_properties(arguments))
        driver = MediaDriver.launch(settings, on_termination=lambda: os.kill(os.getpid(), signal.SIGTERM))
    except _UsageError as error:
        print(f"framelaned: {error}\n{USAGE}", end="", file=sys.stderr)
        return 2
    except (ConfigError, FramelaneError, OSError) as error:
        print(f"framelaned: {error}", file=sys.stderr)
        return 1
    _tell_service_manager("READY=1")
    try:
        signal.sigwait(INTERRUPTS)
        _tell_service_manager("STOPPING=1")
        driver.close()
    except FramelaneError as error:
        print(f"framelaned: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
