"""What commands that talk to a driver have in common: options, interruption, progress and waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framelane.errors import FramelaneError
from framelane.interrupts import release

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from framelane.client import Client
    from framelane.shm.cnc import CncFile

__all__ = [
    "ChannelOption",
    "DirectoryOption",
    "Idle",
    "StreamOption",
    "TimeoutOption",
    "connect",
    "interruptible",
    "make_progress",
    "stderr_console",
    "view_driver",
    "wait_for",
    "with_parameter",
]

DirectoryOption = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Driver directory; else AERON_DIR, else /dev/shm/aeron-USER."),
]
ChannelOption = Annotated[str, typer.Option("--channel", "-c", metavar="URI", help="Channel.")]
StreamOption = Annotated[int, typer.Option("--stream", "-s", help="Stream id.")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Give up after so long without a connection.")
]

_INTERRUPTED = 130
_VIEW_TIMEOUT_MS = 1000
_IDLE_YIELDS = 200
_IDLE_SLEEP_S = 0.0005


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End quietly on SIGINT and SIGTERM, with exit code 130, and when nobody reads the output any more."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        release()
        yield
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except ValueError as error:
        raise FramelaneError(str(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGTERM, previous)


def connect(directory: Path | None, name: str) -> Client:
    """Return a client whose heartbeat is labelled with the command's name."""
    from framelane.client import Client

    return Client(directory, client_name=f"framelane {name}")


def view_driver(directory: Path | None) -> CncFile:
    """Map a driver's file to look at it. A driver that is dead is looked at as well.

    :raises FramelaneError: if there is none.
    """
    from framelane.shm.cnc import CNC_FILE, CncFile
    from framelane.shm.directory import resolve_directory

    path = resolve_directory(directory) / CNC_FILE
    if not path.exists():
        raise FramelaneError(
            f"{path} does not exist: no driver serves that directory; start one (framelane driver), or name its "
            "directory with --dir or AERON_DIR"
        )
    cnc = CncFile.map(path, writable=False)
    deadline = time.monotonic() + _VIEW_TIMEOUT_MS / 1000
    while cnc.version == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    cnc.check_version()
    cnc.find_sections()
    return cnc


def wait_for(condition: Callable[[], object], timeout_s: float | None, what: str) -> None:
    """Wait for a condition.

    :raises FramelaneError: if it does not come true in time.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while not condition():
        if deadline is not None and time.monotonic() > deadline:
            raise FramelaneError(f"{what} within {timeout_s:g} s")
        time.sleep(0.001)


class Idle:
    """Waits between turns without work: at first giving way only, then sleeping."""

    def __init__(self) -> None:
        self._turns = 0

    def reset(self) -> None:
        self._turns = 0

    def wait(self) -> None:
        self._turns += 1
        if self._turns < _IDLE_YIELDS:
            os.sched_yield()
        else:
            time.sleep(_IDLE_SLEEP_S)


def with_parameter(channel: str, name: str, value: object) -> str:
    """Return a channel with one more parameter."""
    return f"{channel}{'|' if '?' in channel else '?'}{name}={value}"


def stderr_console() -> Console:
    """Return a console for what is no output."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 240
    return console


def make_progress(*, is_wanted: bool = True, counts_bytes: bool = True) -> Progress:
    """Return a progress bar on standard error; nothing is shown if that is no terminal."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = stderr_console()
    amount = (DownloadColumn(), TransferSpeedColumn()) if counts_bytes else (MofNCompleteColumn(),)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *amount,
        TimeRemainingColumn(),
        console=console,
        disable=not (is_wanted and console.is_terminal),
    )
