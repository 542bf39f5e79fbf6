"""Giving up root once the devices are open."""

from __future__ import annotations

import grp
import importlib
import os
import pwd
from contextlib import suppress
from pathlib import Path

from framelane.errors import ConfigError, FramelaneError

__all__ = ["check_access", "check_identity", "drop_privileges", "identity_name"]

#: What the driver imports when it is first needed, of what it did not write itself.
_IMPORTED_LATER = ("encodings.idna", "pyroute2", "pyroute2.netlink.exceptions")


def check_identity(user: str | None, group: str | None) -> tuple[int, int] | None:
    """Return user and group id to become; ``None`` if neither is asked for. A user alone brings its own group.

    :raises ConfigError: if there is no such user or group, or this process cannot become it.
    """
    if user is None and group is None:
        return None
    problems = []
    user_id, group_id = os.geteuid(), os.getegid()
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            user_id, group_id = entry.pw_uid, entry.pw_gid
    except KeyError:
        problems.append(f"driver.user: there is no user {user!r}; make it, or leave driver.user out")
    try:
        if group is not None:
            group_id = grp.getgrnam(group).gr_gid
    except KeyError:
        problems.append(f"driver.group: there is no group {group!r}; make it, or leave driver.group out")
    if not problems and os.geteuid() != 0 and (user_id, group_id) != (os.geteuid(), os.getegid()):
        problems.append("driver.user and driver.group need a start as root, or leave them out")
    if problems:
        raise ConfigError("\n".join(problems), tuple(problems))
    return user_id, group_id


def drop_privileges(user_id: int, group_id: int, user: str | None) -> bool:
    """Become another user and group for good. Only glibc's calls change all threads, and these are those.

    What would be imported later is imported before: that user may not be able to read this installation.

    :returns: whether that changed anything.
    """
    if (user_id, group_id) == (os.geteuid(), os.getegid()):
        return False
    for module in _IMPORTED_LATER:
        importlib.import_module(module)
    if user is not None:
        os.initgroups(user, group_id)
    else:
        os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)
    return True


def identity_name() -> str:
    """Return ``USER:GROUP`` as this process is now; numbers for those that have no name."""
    user, group = str(os.geteuid()), str(os.getegid())
    with suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(os.getegid()).gr_name
    return f"{user}:{group}"


def check_access(directory: Path) -> None:
    """Check that the user that this process is now can make files in the driver directory.

    :raises FramelaneError: if it cannot, because a folder above is closed to it.
    """
    for path in (directory, directory / "publications", directory / "images"):
        if not os.access(path, os.W_OK | os.X_OK):
            raise FramelaneError(
                f"{identity_name()}, which driver.user or driver.group asks for, cannot write in {path}; open the "
                "folders above it to that user, or set another directory, such as one in /dev/shm"
            )
