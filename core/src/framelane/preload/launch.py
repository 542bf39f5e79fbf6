"""Start this process anew with an accelerator preloaded, if it works; else refuse, and say why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from framelane.errors import FramelaneError
from framelane.preload.accelerators import ACCELERATORS, Accelerator, loaded_library
from framelane.preload.check import Check

__all__ = ["MARK", "check_preload", "environment_for", "preload"]

#: In the environment of the process that was started anew: which accelerator it is to have.
MARK = "_FRAMELANE_PRELOADED"
#: VMA registers its memory with the adapter when the first socket is made.
_CHECK_LIMIT_S = 30


def preload(name: str, library: str | None = None) -> None:
    """Return if the accelerator is preloaded; else start this process anew with it, and do not return.

    To be called before there is anything to lose: on the main thread, with no other threads.

    :param library: file or name; ``None``: the accelerator's usual one.
    :raises FramelaneError: if there is no such accelerator, or it does not work in a process that was started to try.
    """
    if name not in ACCELERATORS:
        raise FramelaneError(f"--preload {name}: there is no such accelerator; there are {', '.join(ACCELERATORS)}")
    accelerator = ACCELERATORS[name]
    wanted = library or accelerator.library
    if os.environ.get(MARK) == name:
        if loaded_library(accelerator, wanted) is None:
            raise _refusal(accelerator, f"{wanted} is not loaded after all", "look at LD_PRELOAD")
        return
    environment = environment_for(accelerator, wanted, os.environ)
    check_preload(accelerator, wanted, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def environment_for(accelerator: Accelerator, library: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that has an accelerator preloaded.

    :raises FramelaneError: if the library's name cannot stand in ``LD_PRELOAD``.
    """
    if not library or any(character in library for character in " :\t\n"):
        raise _refusal(accelerator, f"{library!r} cannot stand in LD_PRELOAD", "name a file without spaces and colons")
    others = [one for one in environ.get("LD_PRELOAD", "").replace(" ", ":").split(":") if one and one != library]
    preloaded = {"LD_PRELOAD": ":".join([library, *others]), MARK: accelerator.name}
    return {**accelerator.variables, **environ, **preloaded}


def check_preload(accelerator: Accelerator, library: str, environment: Mapping[str, str]) -> None:
    """Try an accelerator in a process of its own.

    :raises FramelaneError: if it is not loaded, makes no socket, does not answer, or ends the process.
    """
    command = [sys.executable, "-P", "-m", "framelane.preload.check", accelerator.name, library]
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=_CHECK_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _refusal(accelerator, f"a process with it hung for {_CHECK_LIMIT_S} s", "see its log") from error
    said = " ".join(done.stderr.split())[-400:]
    if done.returncode != 0:
        ended = f"a process with it ended with status {done.returncode}"
        raise _refusal(accelerator, ended, f"it needs {accelerator.needs}", said)
    check = Check(**json.loads(done.stdout.splitlines()[-1]))
    if check.library is None:
        where = "" if "/" in library else " on the dynamic linker's path"
        raise _refusal(accelerator, f"{library} was not loaded", f"install it{where}, or --preload-library FILE", said)
    if check.socket_error:
        raise _refusal(
            accelerator,
            f"{check.library} makes no UDP socket: {check.socket_error}",
            f"it needs {accelerator.needs}; without it: framelane driver",
            said,
        )
    if not check.answers:
        raise _refusal(
            accelerator,
            f"{check.library} does not answer to the interface of {accelerator.name}",
            "name another file with --preload-library, or another accelerator with --preload",
        )


def _refusal(accelerator: Accelerator, found: str, next_step: str, said: str = "") -> FramelaneError:
    lines = [
        f"--preload {accelerator.name}: the driver is not started, because its sockets would not be accelerated",
        f"  found     {found}",
        f"  next      {next_step}",
    ]
    if said:
        lines.append(f"  said      {said}")
    return FramelaneError("\n".join(lines))
