"""SIGINT and SIGTERM while nobody can handle them yet.

An interpreter takes a while to start, and a terminal sends Ctrl-C to every process of its group: one that arrives while
a child still imports modules ends that child with a traceback. So a child is started with both signals blocked, which
it inherits across ``exec``, and :func:`release`\\ s them once its handlers stand: what came before is then delivered.

Every process of ours that shares its parent's process group is started with :func:`start_child`.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["INTERRUPTS", "hold", "release", "start_child"]

#: What asks a process to end.
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM})


def hold() -> set[int]:
    """Block the interrupts in this thread; those that arrive wait.

    :returns: the signal mask as it was.
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)


def release() -> None:
    """Take the interrupts, those too that arrived before. For a process that :func:`start_child` started."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)


def start_child(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program that blocks the interrupts until it calls :func:`release` or waits for them.

    An interrupt of this process in the meantime is raised when the child has been ended.

    :param options: of :class:`subprocess.Popen`.
    """
    mask = hold()
    child: subprocess.Popen[Any] | None = None
    try:
        child = subprocess.Popen(command, **options)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # runs the handlers of what came
        except BaseException:
            if child is not None:
                child.kill()
                child.communicate()
            raise
    return child
