"""The ``fc`` parameter of publications (wire 3.6.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri
from framelane.channel.values import parse_duration, parse_integer

__all__ = ["FlowControl", "flow_control_of"]

_RRWM = "rrwm:"
_TIMEOUT = "t:"
_GROUP = "g:"
_OPTIONS = {"max": (_RRWM,), "min": (_TIMEOUT, _GROUP, _RRWM), "tagged": (_TIMEOUT, _GROUP, _RRWM)}


@dataclass(frozen=True)
class FlowControl:
    """How the receivers of a publication with group semantics limit it; plain unicast always uses the unicast strategy.

    :ivar strategy: ``max``, ``min`` or ``tagged``.
    :ivar retransmit_window_multiple: windows that one NAK may ask for.
    :ivar receiver_timeout_ns: of ``min`` and ``tagged``: a receiver silent for longer is not waited for.
    :ivar group_tag: of ``tagged``: which receivers count.
    :ivar group_min_size: of ``min`` and ``tagged``: with fewer receivers that count it is not connected.
    """

    strategy: str = "max"
    retransmit_window_multiple: int = 4
    receiver_timeout_ns: int = 5_000_000_000
    group_tag: int = -1
    group_min_size: int = 0

    @property
    def counts_receivers(self) -> bool:
        """Whether the strategy tells its receivers apart."""
        return self.strategy != "max"


def flow_control_of(uri: ChannelUri, defaults: FlowControl) -> FlowControl:
    """Return what ``fc`` asks for.

    :param defaults: the driver's settings, for what it does not say.
    :raises ChannelError: GENERIC_ERROR.
    """
    value = uri.get("fc")
    if value is None:
        return defaults
    strategy, *options = value.split(",")
    if strategy not in _OPTIONS:
        raise _unusable(value, f"unknown strategy '{strategy}'")
    flow_control = replace(defaults, strategy=strategy)
    for option in options:
        if not option.startswith(_OPTIONS[strategy]):
            raise _unusable(value, f"{strategy} takes no option '{option}'")
        flow_control = _with_option(flow_control, option, value)
    return flow_control


def _with_option(flow_control: FlowControl, option: str, value: str) -> FlowControl:
    if option.startswith(_RRWM):
        multiple = parse_integer(option.removeprefix(_RRWM), 31)
        if multiple is None or multiple <= 0:
            raise _unusable(value, "rrwm must be a positive number")
        return replace(flow_control, retransmit_window_multiple=multiple)
    if option.startswith(_TIMEOUT):
        timeout_ns = parse_duration(option.removeprefix(_TIMEOUT))
        if timeout_ns is None:
            raise _unusable(value, "t must be a duration")
        return replace(flow_control, receiver_timeout_ns=timeout_ns)
    tag_text, slash, size_text = option.removeprefix(_GROUP).partition("/")
    if tag_text or not slash:
        tag = parse_integer(tag_text, 63)
        if tag is None:
            raise _unusable(value, "g must be a 64-bit number, /size, or both")
        flow_control = replace(flow_control, group_tag=tag)
    if slash:
        size = parse_integer(size_text, 31)
        if size is None or size < 0:
            raise _unusable(value, "the group's size must be from 0 to 2147483647")
        flow_control = replace(flow_control, group_min_size=size)
    return flow_control


def _unusable(value: str, why: str) -> ChannelError:
    return ChannelError(ErrorCode.GENERIC_ERROR, f"could not parse fc={value} in URI: {why}")
