"""The timeouts of untethered subscriptions, which publications and subscriptions may give (wire 4.13)."""

from __future__ import annotations

from dataclasses import dataclass

from framelane.channel.uri import ChannelUri
from framelane.channel.values import duration_of

__all__ = ["UntetheredTimeouts", "untethered_timeouts_of"]


@dataclass(frozen=True)
class UntetheredTimeouts:
    """In nanoseconds. A publication's, and the first subscription's of an image, count for its untethered subscribers.

    :ivar linger_ns: ``None`` in defaults: the window limit timeout in force.
    """

    window_limit_ns: int = 5_000_000_000
    linger_ns: int | None = None
    resting_ns: int = 10_000_000_000


def untethered_timeouts_of(uri: ChannelUri, defaults: UntetheredTimeouts) -> UntetheredTimeouts:
    """Return the timeouts in force for a channel; the result's ``linger_ns`` is a number.

    :raises ChannelError: GENERIC_ERROR.
    """
    window_limit_ns = duration_of(uri, "untethered-window-limit-timeout")
    linger_ns = duration_of(uri, "untethered-linger-timeout")
    resting_ns = duration_of(uri, "untethered-resting-timeout")
    if window_limit_ns is None:
        window_limit_ns = defaults.window_limit_ns
    if linger_ns is None:
        linger_ns = window_limit_ns if defaults.linger_ns is None else defaults.linger_ns
    return UntetheredTimeouts(window_limit_ns, linger_ns, defaults.resting_ns if resting_ns is None else resting_ns)
