"""The parameters of a subscription: parsed, checked, and compared with those that share its images (shm 9.4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Self

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.udp_params import ControlMode, UdpParams
from framelane.channel.unsupported import Role, check_supported
from framelane.channel.untethered import UntetheredTimeouts, untethered_timeouts_of
from framelane.channel.uri import ChannelUri, Media
from framelane.channel.values import INT32_MAX, bool_of, duration_of, int32_of, int64_of, size_of, unparsable

__all__ = ["Group", "SubscriptionDefaults", "SubscriptionParams"]

# Smallest receiver window, as for the driver's setting (shm 10.3).
_MIN_RECEIVER_WINDOW_LENGTH = 256


class Group(enum.StrEnum):
    """Whether the other receivers of a stream are considered before a NAK is sent."""

    TRUE = "true"
    FALSE = "false"
    INFER = "infer"  #: multicast, or the SETUP says so


@dataclass(frozen=True)
class SubscriptionDefaults:
    """The driver's settings for subscriptions.

    :ivar group_tag: sent in status messages, ``None``: none is.
    """

    is_reliable: bool = True
    is_rejoin: bool = True
    is_tethered: bool = True
    is_sparse: bool = True
    group: Group = Group.INFER
    receiver_window_length: int = 128 * 1024
    group_tag: int | None = None
    congestion_control: str = "static"
    untethered: UntetheredTimeouts = field(default_factory=UntetheredTimeouts)


@dataclass(frozen=True)
class SubscriptionParams:
    """What a channel asks for a subscription, defaults filled in.

    :ivar udp: ``None`` for IPC.
    :ivar session_id: ``None``: all sessions.
    :ivar is_tethered: ``False``: it may be given up while it holds back others (shm 9.9).
    :ivar congestion_control: ``static`` or ``cubic``.
    :ivar nak_delay_ns: ``None``: the driver's.
    """

    uri: ChannelUri
    udp: UdpParams | None
    session_id: int | None
    is_reliable: bool
    is_rejoin: bool
    is_tethered: bool
    is_sparse: bool
    is_response: bool
    group: Group
    receiver_window_length: int
    congestion_control: str
    nak_delay_ns: int | None
    group_tag: int | None
    untethered: UntetheredTimeouts

    @classmethod
    def parse(cls, uri: ChannelUri, defaults: SubscriptionDefaults) -> Self:
        """Check all parameters. Looks no names up.

        :raises ChannelError: INVALID_CHANNEL, GENERIC_ERROR or NOT_SUPPORTED.
        """
        udp = UdpParams.parse(uri) if uri.media is Media.UDP else None
        if udp:
            udp.check_subscription()
        bool_of(uri, "ats", False)
        check_supported(uri, Role.of(uri, is_publication=False))
        group_tag = int64_of(uri, "gtag")
        return cls(
            uri=uri,
            udp=udp,
            session_id=int32_of(uri, "session-id"),
            is_reliable=bool_of(uri, "reliable", defaults.is_reliable),
            is_rejoin=bool_of(uri, "rejoin", defaults.is_rejoin),
            is_tethered=bool_of(uri, "tether", defaults.is_tethered),
            is_sparse=bool_of(uri, "sparse", defaults.is_sparse),
            is_response=uri.get("control-mode") == ControlMode.RESPONSE,
            group=_group_of(uri, defaults),
            receiver_window_length=_window_of(uri, defaults),
            congestion_control=_congestion_control_of(uri, defaults),
            nak_delay_ns=duration_of(uri, "nak-delay"),
            group_tag=defaults.group_tag if group_tag is None else group_tag,
            untethered=untethered_timeouts_of(uri, defaults.untethered),
        )

    def check_receive_buffer(self, granted: int) -> None:
        """Check that a window fits the socket's receive buffer.

        :param granted: bytes; 0 where there is no such thing.
        :raises ChannelError: GENERIC_ERROR.
        """
        if granted and self.receiver_window_length > granted:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"initial window rcv-wnd={self.receiver_window_length} > SO_RCVBUF={granted}, "
                f"give a larger so-rcvbuf: {self.uri}",
            )

    def check_conflicts(self, existing: SubscriptionParams) -> None:
        """Check what a subscription must share with another of the same endpoint, stream and session choice.

        :raises ChannelError: GENERIC_ERROR with the first difference.
        """
        for option, requested, in_force in (
            ("reliable", self.is_reliable, existing.is_reliable),
            ("rejoin", self.is_rejoin, existing.is_rejoin),
            ("isResponse", self.is_response, existing.is_response),
        ):
            if requested != in_force:
                raise ChannelError(
                    ErrorCode.GENERIC_ERROR,
                    f"option conflicts with existing subscription: {option}={str(requested).lower()} "
                    f"existingChannel={existing.uri} channel={self.uri}",
                )


def _group_of(uri: ChannelUri, defaults: SubscriptionDefaults) -> Group:
    value = uri.get("group")
    if value is None:
        return defaults.group
    # As the native driver: text that it does not know is false.
    return Group(value) if value in tuple(Group) else Group.FALSE


def _window_of(uri: ChannelUri, defaults: SubscriptionDefaults) -> int:
    window = size_of(uri, "rcv-wnd", INT32_MAX)
    if window is None:
        return defaults.receiver_window_length
    if window < _MIN_RECEIVER_WINDOW_LENGTH:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR, f"rcv-wnd={window} cannot be less than {_MIN_RECEIVER_WINDOW_LENGTH}"
        )
    return window


def _congestion_control_of(uri: ChannelUri, defaults: SubscriptionDefaults) -> str:
    value = uri.get("cc")
    if value not in (None, "static", "cubic"):
        raise unparsable("cc", str(value))
    return value or defaults.congestion_control
