"""A change of the system as a list of steps: printed, or executed and taken back whole if one fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from framelane.errors import FramelaneError
from framelane_dpdk.pci import BindingError

__all__ = ["Action", "LoadModule", "Step", "Write", "execute", "no_undo"]

#: What an empty value is written as: a write of no bytes would not reach the kernel (bypass 2.3).
EMPTY = "\0"
_MODPROBE_LIMIT_S = 60


class Step(Protocol):
    """One change. ``text`` is what a person would do in its place."""

    @property
    def text(self) -> str: ...
    def do(self) -> None:
        """Make the change.

        :raises OSError: or a FramelaneError, if it was not made.
        """
        ...

    def undo(self) -> None:
        """Take the change back; called only after :meth:`do` returned. Raises as it does."""
        ...


def no_undo() -> None:
    """Leave a change that does no harm."""


@dataclass(frozen=True)
class Write:
    """A value written to a file of sysfs."""

    path: Path
    value: str
    taken_back_by: tuple[Step, ...] = ()
    if_absent: str = ""  #: why the file may be missing, and what to do then

    @property
    def text(self) -> str:
        return f"write {'a NUL byte' if self.value == EMPTY else self.value} to {self.path}"

    def do(self) -> None:
        # In one piece, as the kernel wants it. Only for writing: bind and unbind cannot be read. Never a new file.
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BindingError(self.if_absent or str(error)) from error
        try:
            os.write(descriptor, self.value.encode())
        finally:
            os.close(descriptor)

    def undo(self) -> None:
        for step in self.taken_back_by:
            step.do()


@dataclass(frozen=True)
class LoadModule:
    """A kernel module loaded. It stays: it does nothing by itself."""

    name: str

    @property
    def text(self) -> str:
        return f"modprobe {self.name}"

    def do(self) -> None:
        try:
            done = subprocess.run(
                ["modprobe", "--", self.name], capture_output=True, text=True, timeout=_MODPROBE_LIMIT_S, check=False
            )
        except FileNotFoundError:
            raise BindingError("the program modprobe was not found; install kmod, or load the module by hand") from None
        except subprocess.TimeoutExpired:
            raise BindingError(f"modprobe did not end within {_MODPROBE_LIMIT_S} s") from None
        if done.returncode != 0:
            raise BindingError(f"{done.stderr.strip() or f'modprobe exited with {done.returncode}'}")

    def undo(self) -> None:
        no_undo()


@dataclass(frozen=True)
class Action:
    """A change that is no write, such as setting an address."""

    text: str
    action: Callable[[], object]
    taken_back_by: Callable[[], object] = field(default=no_undo)
    stays_after_trouble: bool = False  #: not taken back where a later step could not be: what it kept is needed then

    def do(self) -> None:
        self.action()

    def undo(self) -> None:
        self.taken_back_by()


def execute(steps: Sequence[Step], report: Callable[[str], None]) -> None:
    """Make every change in order; when one fails, take back those before it, the last one first.

    :param report: called with the text of each step that was made.
    :raises BindingError: names the step that failed, why, and what could not be taken back.
    """
    done: list[Step] = []
    try:
        for step in steps:
            step.do()
            done.append(step)
            report(step.text)
    except (OSError, FramelaneError) as error:
        left = _take_back(done)
        lines = [
            f"step {len(done) + 1} of {len(steps)} failed, "
            + ("and not all was undone" if left else "what was done before was undone")
        ]
        lines += [f"  step   {steps[len(done)].text}", f"  found  {error}"]
        lines += [f"  left   {one}" for one in left]
        if left:
            lines.append("  next   correct that (dmesg may say more), then run: framelane dpdk restore")
        raise BindingError("\n".join(lines)) from error
    except BaseException:
        _take_back(done)
        raise


def _take_back(done: Sequence[Step]) -> list[str]:
    left: list[str] = []
    for step in reversed(done):
        if left and isinstance(step, Action) and step.stays_after_trouble:
            continue
        try:
            step.undo()
        except (OSError, FramelaneError) as error:
            left.append(f"{step.text}: {error}")
    return left
