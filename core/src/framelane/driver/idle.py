"""Idle strategies: what an agent does when a duty cycle found no work (``shm`` 10.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from framelane.driver.values import MILLISECOND, Duration

__all__ = ["IdleStrategy", "parse_idle_strategy"]

_DURATION = Duration()


@dataclass(frozen=True)
class IdleStrategy:
    """An idle strategy with its arguments.

    ``name`` is ``sleeping``, ``yield``, ``spin``, ``noop``, ``backoff`` or ``wait``. Only ``backoff`` uses the spins
    and yields; ``sleeping`` sleeps ``min_park_ns``; ``wait`` sleeps until a transport has something, bounded by the
    driver's ``wait_max_ns``.
    """

    name: str
    max_spins: int = 10
    max_yields: int = 20
    min_park_ns: int = 1_000
    max_park_ns: int = MILLISECOND


def parse_idle_strategy(name: str, arguments: str | None) -> IdleStrategy:
    """Return the idle strategy of a name and its init args.

    :raises ValueError: if the arguments are not the strategy's.
    """
    if name in ("sleeping", "sleep-ns"):
        park_ns = 1 if arguments is None else _DURATION.parse(arguments)
        return IdleStrategy("sleeping", min_park_ns=park_ns, max_park_ns=park_ns)
    if arguments is None:
        return IdleStrategy(name)
    if name != "backoff":
        raise ValueError(f"{name} takes no arguments")
    parts = arguments.split("-")
    if len(parts) != 4 or not all(re.fullmatch("[0-9]{1,18}", part) for part in parts[:2]):
        raise ValueError("backoff takes <max spins>-<max yields>-<min park>-<max park>, such as 10-20-1us-1ms")
    min_park_ns, max_park_ns = _DURATION.parse(parts[2]), _DURATION.parse(parts[3])
    if not 0 < min_park_ns <= max_park_ns:
        raise ValueError("backoff's least park is above 0 and not above its longest")
    return IdleStrategy("backoff", int(parts[0]), int(parts[1]), min_park_ns, max_park_ns)
