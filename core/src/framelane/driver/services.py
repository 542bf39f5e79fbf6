"""What every part of the control plane uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framelane.driver.clock import Clock
    from framelane.driver.counters import Counters
    from framelane.driver.errors import ErrorRecorder
    from framelane.driver.events import Events
    from framelane.driver.model import DriverSettings
    from framelane.driver.native import DataPlane
    from framelane.driver.resources import SlowWork
    from framelane.driver.storage import Storage

__all__ = ["Services"]


@dataclass(frozen=True)
class Services:
    """The driver's instruments, made once at start. All but ``slow_work`` are for the control thread."""

    settings: DriverSettings
    clock: Clock
    plane: DataPlane
    counters: Counters
    events: Events
    errors: ErrorRecorder
    storage: Storage
    slow_work: SlowWork
    random: Random  #: of session ids and initial term ids
    next_correlation_id: Callable[[], int]  #: the sequence that clients draw from too (shm 3.5)
