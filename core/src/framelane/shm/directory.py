"""The driver directory: where it is, and making it at start-up (shm 1)."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from framelane._native import lib
from framelane.errors import FramelaneError, NativeError
from framelane.shm.cnc import CNC_FILE, CNC_VERSION, HEARTBEAT_CLOSED, Clock, CncFile, probe_activity
from framelane.shm.error_log import format_errors
from framelane.shm.location import default_directory

__all__ = [
    "ActiveDriverError",
    "default_directory",
    "image_log_path",
    "prepare_directory",
    "publication_log_path",
    "remove_directory",
    "resolve_directory",
]

#: Longest path, bytes without terminator.
MAX_PATH_LENGTH = 4095


class ActiveDriverError(FramelaneError):
    """Another driver serves the directory."""

    errno = errno.EBUSY


def resolve_directory(explicit: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory: the explicit one, else ``AERON_DIR``, else the default.

    :raises FramelaneError: if the path is too long.
    """
    path = Path(explicit or environ.get("AERON_DIR") or default_directory(environ)).absolute()
    if len(bytes(path)) > MAX_PATH_LENGTH:
        raise FramelaneError(f"driver directory: a path of {len(bytes(path))} bytes, at most {MAX_PATH_LENGTH}")
    return path


def publication_log_path(directory: Path, registration_id: int) -> Path:
    """Return where a publication's log is; the id is that of the command that created it."""
    return directory / "publications" / f"{registration_id}.logbuffer"


def image_log_path(directory: Path, correlation_id: int) -> Path:
    """Return where a network image's log is."""
    return directory / "images" / f"{correlation_id}.logbuffer"


def _save_errors(directory: Path, cnc: CncFile, clock: Clock) -> Path | None:
    """Save the error log of a dead driver beside its directory; ``None`` if there is nothing to save."""
    if cnc.version >> 16 != CNC_VERSION >> 16:
        return None
    try:
        cnc.find_sections()
    except NativeError:
        return None
    entries = cnc.errors()
    if not entries:
        return None
    moment = datetime.fromtimestamp(clock.epoch_ms() / 1000).astimezone()
    stamp = moment.isoformat(timespec="milliseconds").replace(":", "-")
    path = directory.parent / f"{directory.name}-{stamp}-error.log"
    path.write_text(format_errors(entries))
    return path


def _examine(directory: Path, driver_timeout_ms: int, clock: Clock) -> Path | None:
    """Make sure that no driver serves an existing directory.

    :returns: where the errors of the dead one were saved, if it left any.
    :raises ActiveDriverError: if one does.
    :raises NativeError: if its file cannot be mapped; waiting for it to be filled is over.
    """
    path = directory / CNC_FILE
    try:
        cnc = CncFile.map(path, writable=False)
    except NativeError as error:
        if error.code == lib.FL_ENOENT:
            return None
        raise
    with cnc:
        activity = probe_activity(cnc, driver_timeout_ms, clock)
        if activity.is_active:
            raise ActiveDriverError(
                f"Active media driver detected: {path}; {activity.note}. Stop it, choose another directory, "
                "or wait for the driver timeout if it was killed"
            )
        return _save_errors(directory, cnc, clock)


def _heartbeat_note(directory: Path, clock: Clock) -> str:
    """Return how old the heartbeat in an existing directory is, as far as it has one."""
    try:
        with CncFile.map(directory / CNC_FILE, writable=False) as cnc:
            cnc.check_version()
            cnc.find_sections()
            heartbeat_ms = cnc.to_driver().heartbeat_ms()
    except FramelaneError as error:
        return f"no heartbeat: {error}"
    if heartbeat_ms == HEARTBEAT_CLOSED:
        return "its driver has closed it"
    return f"its driver's heartbeat is {clock.epoch_ms() - heartbeat_ms} ms old"


def _holds_home(directory: Path) -> bool:
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor a passwd entry, as in some containers
        home = Path("/")
    return home.is_relative_to(directory)


def remove_directory(directory: Path) -> None:
    """Remove a driver directory with all that is in it. A mount point stays, empty.

    :raises FramelaneError: for what nobody can mean: a link, or a directory that holds the home directory.
    :raises OSError: if something cannot be removed.
    """
    if directory.is_symlink() or _holds_home(directory):
        raise FramelaneError(
            f"the driver directory {directory} would be removed, but it is a link or holds the home directory; set a "
            "directory of the driver's own, such as one below it"
        )
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not directory.is_mount():
        directory.rmdir()


def prepare_directory(
    directory: Path,
    *,
    driver_timeout_ms: int = 10_000,
    delete_on_start: bool = False,
    warn_if_exists: bool = False,
    warn: Callable[[str], None] = lambda text: print(f"WARNING: {text}", file=sys.stderr),
    clock: Clock | None = None,
) -> None:
    """Make an empty driver directory (shm 1.4 steps 1 to 4), removing what a dead driver left.

    Directories get mode 0777 less the umask. An old error log is saved beside the directory.

    :param delete_on_start: remove an existing directory without looking for a live driver.
    :raises ActiveDriverError: if a driver serves it.
    :raises FramelaneError: if it cannot be looked at, removed or made.
    """
    clock = clock or Clock()
    try:
        if directory.exists() or directory.is_symlink():
            if warn_if_exists:
                warn(f"{directory} already exists; {_heartbeat_note(directory, clock)}")
            if not delete_on_start:
                saved_errors = _examine(directory, driver_timeout_ms, clock)
                if saved_errors is not None:
                    warn(f"existing errors saved to: {saved_errors}")
            remove_directory(directory)
        directory.mkdir(mode=0o777, parents=True, exist_ok=directory.is_mount())
        for name in ("publications", "images"):
            (directory / name).mkdir(mode=0o777)
    except OSError as error:
        raise FramelaneError(
            f"cannot make the driver directory {directory}: {error.strerror} ({error.filename}); "
            "check its owner and mode, or set another directory"
        ) from error
