"""Slow work beside the control thread.

What the control plane does is written as generators that yield a function where something may block: resolving a
name, allocating a file, opening a device. The function runs on a helper thread, the generator goes on with its result
on the control thread, and everything else goes on meanwhile. A lane runs its tasks one after another, so commands keep
their order (shm 8.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
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

    :param wake: called on a helper thread whenever a result is there.
    """

    def __init__(self, lanes: int, wake: Callable[[], None]) -> None:
        self._executor = ThreadPoolExecutor(lanes, thread_name_prefix="framelane-helper")
        self._wake = wake
        self._running: set[Future[Any]] = set()

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """See :class:`SlowWork`. Control thread."""
        future = self._executor.submit(function)
        self._running = {one for one in self._running if not one.done()} | {future}
        future.add_done_callback(lambda _: self._wake())
        return future

    def close(self) -> None:
        """See :class:`SlowWork`. A name server that does not answer holds it up for two seconds at most."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        wait(self._running, timeout=2.0)


class Inline:
    """Runs slow work at once on the caller: for the invoker, which has no threads."""

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """See :class:`SlowWork`."""
        future: Future[Any] = Future()
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)
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
