"""The ``fc`` parameter of publications (wire 3.6.4)."""

from __future__ import annotations

from dataclasses import dataclass

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri
from framelane.channel.values import parse_integer

__all__ = ["FlowControl", "flow_control_of"]

_RRWM = "rrwm:"
_OPTIONS = {"max": (_RRWM,), "min": ("t:", "g:", _RRWM), "tagged": ("t:", "g:", _RRWM)}


@dataclass(frozen=True)
class FlowControl:
    """How the receivers of a multicast publication limit it; plain unicast always uses the unicast strategy.

    :ivar strategy: ``max``, ``min`` or ``tagged``; the last two are not served by this release.
    :ivar retransmit_window_multiple: of the retransmit window, ``None``: the strategy's own.
    """

    strategy: str = "max"
    retransmit_window_multiple: int | None = None


def flow_control_of(uri: ChannelUri) -> FlowControl:
    """Return what ``fc`` asks for.

    :raises ChannelError: GENERIC_ERROR.
    """
    value = uri.get("fc")
    if value is None:
        return FlowControl()
    strategy, *options = value.split(",")
    if strategy not in _OPTIONS:
        raise _unusable(value, f"unknown strategy '{strategy}'")
    multiple = None
    for option in options:
        if not option.startswith(_OPTIONS[strategy]):
            raise _unusable(value, f"{strategy} takes no option '{option}'")
        if not option.startswith(_RRWM):
            continue
        multiple = parse_integer(option.removeprefix(_RRWM), 31)
        if multiple is None or multiple <= 0:
            raise _unusable(value, "rrwm must be a positive number")
    return FlowControl(strategy, multiple)


def _unusable(value: str, why: str) -> ChannelError:
    return ChannelError(ErrorCode.GENERIC_ERROR, f"could not parse fc={value} in URI: {why}")
