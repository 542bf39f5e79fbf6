"""Slow work beside the control thread.

What the control plane does is written as generators that yield a function where something may block: resolving a
name, allocating a file, opening a device. The function runs on a helper thread, the generator goes on with its result
on the control thread, and everything else goes on meanwhile. A lane runs its tasks one after another, so commands keep
their order (shm 8.1).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias, TypeVar

__all__ = ["HelperThreads", "Inline", "Lane", "SlowWork", "Steps", "slowly"]

T = TypeVar("T")

#: A task, or a part of one: yields functions that may block, returns T.
Steps: TypeAlias = Generator[Callable[[], Any], Any, T]


def slowly(function: Callable[[], T]) -> Steps[T]:
    """Run a function that may block; ``yield from`` this for its result or exception."""
    result: T = yield function
    return result


class SlowWork(Protocol):
    """Where functions that may block are run."""

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function and call the waker when its future is done."""
        ...

    def close(self) -> None:
        """Wait for what runs, but not for ever; start nothing more."""
        ...


class HelperThreads:
    """Runs slow work on threads, one for each lane.

    They are daemons, unlike those of :class:`concurrent.futures.ThreadPoolExecutor`: a process that has closed its
    driver ends although a name server still owes an answer.

    :param wake: called on a helper thread whenever a result is there.
    """

    def __init__(self, lanes: int, wake: Callable[[], None]) -> None:
        self._lanes = lanes
        self._wake = wake
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._running: set[Future[Any]] = set()
        for lane in range(lanes):
            threading.Thread(target=self._serve, name=f"framelane-helper-{lane}", daemon=True).start()

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """See :class:`SlowWork`. Control thread."""
        future: Future[Any] = Future()
        self._running = {one for one in self._running if not one.done()} | {future}
        future.add_done_callback(lambda _: self._wake())
        self._work.put((function, future))
        return future

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            _complete(*work)
            del work

    def close(self) -> None:
        """See :class:`SlowWork`. A name server that does not answer holds it up for two seconds at most."""
        for future in self._running:
            future.cancel()
        for _ in range(self._lanes):
            self._work.put(None)
        wait(self._running, timeout=2.0)


def _complete(function: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Inline:
    """Runs slow work at once on the caller: for the invoker, which has no threads."""

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """See :class:`SlowWork`."""
        future: Future[Any] = Future()
        _complete(function, future)
        return future

    def close(self) -> None:
        """See :class:`SlowWork`."""


class Lane:
    """Tasks that run one after another on the control thread. A task handles its own errors."""

    def __init__(self, slow_work: SlowWork) -> None:
        self._slow_work = slow_work
        self._waiting: deque[Steps[None]] = deque()
        self._running: Steps[None] | None = None
        self._future: Future[Any] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no task runs or waits."""
        return self._running is None and not self._waiting

    def start(self, task: Steps[None]) -> None:
        """Run a task, now if the lane is idle."""
        self._waiting.append(task)
        self.advance()

    def advance(self) -> int:
        """Go on as far as is possible without waiting; returns the number of steps taken."""
        steps = 0
        while True:
            if self._running is None:
                if not self._waiting:
                    return steps
                self._running, self._future = self._waiting.popleft(), None
            elif self._future is not None and not self._future.done():
                return steps
            steps += 1
            try:
                self._future = self._slow_work.submit(self._step(self._running, self._future))
            except StopIteration:
                self._running = self._future = None

    @staticmethod
    def _step(task: Steps[None], future: Future[Any] | None) -> Callable[[], Any]:
        if future is None:
            return next(task)
        error = future.exception()
        return task.send(future.result()) if error is None else task.throw(error)

    def close(self) -> None:
        """Give up tasks, running and waiting; each sees GeneratorExit where it waits."""
        if self._running is not None:
            self._running.close()
            self._running = self._future = None
        for task in self._waiting:
            task.close()
        self._waiting.clear()
