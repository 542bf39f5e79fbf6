"""SIGINT and SIGTERM while nobody can handle them yet, and the end of a child whose parent is gone.

An interpreter takes a while to start, and a terminal sends Ctrl-C to every process of its group: one that arrives while
a child still imports modules ends that child with a traceback. So a child is started with both signals blocked, which
it inherits across ``exec``, and :func:`release`\\ s them once its handlers stand: what came before is then delivered.

A parent that is killed cannot end its children, so they ask the kernel for SIGTERM in that case
(:func:`end_with_parent`), as soon as they run.

Every process of ours that shares its parent's process group is started with :func:`start_child`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["INTERRUPTS", "end_with_parent", "hold", "release", "start_child"]

#: What asks a process to end.
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM})

#: Environment variable of a child: the process that started it.
_PARENT = "FRAMELANE_PARENT_PROCESS"


def hold() -> set[int]:
    """Block the interrupts in this thread; those that arrive wait.

    :returns: the signal mask as it was.
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)


def release() -> None:
    """Take the interrupts, those too that arrived before. For a process that :func:`start_child` started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)


def end_with_parent() -> None:
    """Get SIGTERM when the process that started this one with :func:`start_child` ends; without one, do nothing.

    To be called first, and once.
    """
    parent = os.environ.pop(_PARENT, None)  # not for this process's own children
    if parent is None:
        return
    from framelane._native import lib  # not above: a command that nobody started so need not wait for it

    lib.fl_process_end_with(int(parent), signal.SIGTERM)


def start_child(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    """Start a program that blocks the interrupts until it calls :func:`release` or waits for them.

    An interrupt of this process in the meantime is raised when the child has been ended. To be called on a thread that
    lives as long as the child is to: for :func:`end_with_parent` the end of this thread is the parent's.

    :param env: ``None``: this process's.
    :param options: of :class:`subprocess.Popen`.
    """
    environment = {**(os.environ if env is None else env), _PARENT: str(os.getpid())}
    mask = hold()
    child: subprocess.Popen[Any] | None = None
    try:
        child = subprocess.Popen(command, env=environment, **options)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # runs the handlers of what came
        except BaseException:
            if child is not None:
                child.kill()
                child.communicate()
            raise
    return child
