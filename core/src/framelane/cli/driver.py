"""``framelane driver``: a media driver in the foreground."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framelane.cli.options import ConfigOption, SetOption, StrictOption
from framelane.cli.running import stderr_console
from framelane.errors import FramelaneError
from framelane.interrupts import INTERRUPTS, hold

if TYPE_CHECKING:
    from framelane.driver.media_driver import MediaDriver

__all__ = ["register"]

_STATUS_INTERVAL_S = 0.5


def register(app: typer.Typer) -> None:
    """Add ``driver``."""
    app.command("driver")(driver)


def driver(
    config: ConfigOption = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Driver directory; short for --set driver.dir=DIR.")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option("--preload", metavar="NAME", help="Accelerate the sockets transport: vma, onload or xlio."),
    ] = None,
    library: Annotated[
        str | None,
        typer.Option("--preload-library", metavar="FILE", help="The accelerator's library, if not the usual."),
    ] = None,
) -> None:
    """Run a media driver until it is interrupted. `framelaned` is the same as a daemon, with the stock arguments."""
    if accelerator is not None:
        from framelane.preload.launch import preload

        preload(accelerator, library)
    elif library is not None:
        raise FramelaneError("--preload-library goes with --preload NAME, which says how the library is to be used")
    # Blocked before any thread exists: only the wait below takes them.
    hold()
    from framelane.driver.log import show_warnings
    from framelane.driver.media_driver import MediaDriver
    from framelane.driver.settings import load_settings

    show_warnings("framelane")
    sets = list(overrides or ())
    if directory is not None:
        sets.append(f"driver.dir={directory}")
    if accelerator is not None:
        sets.append("transport.use=['sockets']")
    settings = load_settings(config, overrides=sets, strict=strict)
    with MediaDriver.launch(settings, on_termination=lambda: os.kill(os.getpid(), signal.SIGTERM)) as running:
        _print_start(running)
        _wait(running)
    stderr_console().print("driver closed")


def _print_start(running: MediaDriver) -> None:
    from framelane import __version__

    console = stderr_console()
    console.print(f"framelane {__version__} serves {running.directory} in threading mode {running.threading_mode}")
    console.print(f"transports open: {', '.join(running.transports) or 'none yet'}; stop with Ctrl-C")


def _wait(running: MediaDriver) -> None:
    console = stderr_console()
    if not (console.is_terminal and sys.stderr.isatty()):
        signal.sigwait(INTERRUPTS)
        return
    from framelane.cli.driver_status import DriverStatus
    from framelane.cli.running import view_driver

    with view_driver(running.directory) as cnc, console.status("") as line:
        status = DriverStatus(cnc)
        while signal.sigtimedwait(INTERRUPTS, _STATUS_INTERVAL_S) is None:
            line.update(status.text(time.monotonic()))
