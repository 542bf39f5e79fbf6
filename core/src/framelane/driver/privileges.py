"""Giving up root once the devices are open."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from framelane.errors import ConfigError, FramelaneError

__all__ = ["check_access", "check_identity", "drop_privileges"]


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


def drop_privileges(user_id: int, group_id: int, user: str | None) -> None:
    """Become another user and group for good. Only glibc's calls change all threads, and these are those."""
    if (user_id, group_id) == (os.geteuid(), os.getegid()):
        return
    if user is not None:
        os.initgroups(user, group_id)
    else:
        os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)


def check_access(directory: Path) -> None:
    """Check that the user that this process is now can make files in the driver directory.

    :raises FramelaneError: if it cannot, because a folder above is closed to it.
    """
    for path in (directory, directory / "publications", directory / "images"):
        if not os.access(path, os.W_OK | os.X_OK):
            name = pwd.getpwuid(os.geteuid()).pw_name
            raise FramelaneError(
                f"user {name}, which driver.user or driver.group asks for, cannot write in {path}; open the folders "
                "above it to that user, or set another directory, such as one in /dev/shm"
            )
