"""The parameters of a UDP channel that make its endpoint: addresses, control mode, tags and sockets (wire 5.3, 5.4)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Self

from framelane.channel.addresses import HostPort, parse_host_port
from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.interface import InterfaceSpec, parse_interface
from framelane.channel.timestamps import TimestampOffsets
from framelane.channel.uri import ChannelUri, Media
from framelane.channel.values import INT32_MAX, int64_of, parse_integer, size_of, unparsable

__all__ = ["ControlMode", "Tags", "UdpParams", "parse_tags", "transport_of"]

_MAX_TTL = 255
_TRANSPORT_NAME = re.compile("[a-z][a-z0-9-]*")


class ControlMode(enum.StrEnum):
    """How a channel finds its destinations."""

    NONE = "none"
    DYNAMIC = "dynamic"
    MANUAL = "manual"
    RESPONSE = "response"


@dataclass(frozen=True)
class Tags:
    """The ``tags`` parameter: of the channel, and of the one publication."""

    channel: int | None = None
    entity: int | None = None


def parse_tags(uri: ChannelUri) -> Tags:
    """Return the tags of a channel.

    :raises ChannelError: INVALID_CHANNEL for the channel tag, GENERIC_ERROR for the entity tag.
    """
    value = uri.get("tags")
    if value is None:
        return Tags()
    channel_text, _, entity_text = value.partition(",")
    channel, entity = parse_integer(channel_text, 63), parse_integer(entity_text, 63)
    if channel_text and channel is None:
        raise ChannelError(ErrorCode.INVALID_CHANNEL, f"could not parse channel tag in tags={value}")
    if entity_text and entity is None:
        raise unparsable("tags", value)
    return Tags(channel, entity)


def transport_of(uri: ChannelUri) -> str | None:
    """Return the frame transport that the channel asks for, our own parameter ``transport``.

    :raises ChannelError: GENERIC_ERROR if it cannot be a transport's name.
    """
    value = uri.get("transport")
    if value is not None and not _TRANSPORT_NAME.fullmatch(value):
        raise unparsable("transport", value)
    return value


@dataclass(frozen=True)
class UdpParams:
    """The parameters of a UDP channel, checked as far as that goes without looking names up.

    :ivar ttl: multicast hop limit, 0: the driver's default.
    :ivar socket_send_buffer_length: bytes, 0: not given or the driver's default.
    :ivar socket_receive_buffer_length: as for send.
    :ivar transport: the frame transport that the channel insists on, ``None``: the driver picks.
    """

    uri: ChannelUri
    endpoint: HostPort | None
    control: HostPort | None
    interface: InterfaceSpec | None
    control_mode: ControlMode
    tags: Tags
    ttl: int
    socket_send_buffer_length: int
    socket_receive_buffer_length: int
    transport: str | None
    timestamps: TimestampOffsets

    @classmethod
    def parse(cls, uri: ChannelUri) -> Self:
        """Check the parameters that publications and subscriptions share.

        :raises ChannelError: INVALID_CHANNEL or GENERIC_ERROR.
        """
        if uri.media is not Media.UDP:
            raise ChannelError(ErrorCode.INVALID_CHANNEL, f"UDP channels must use UDP URIs: {uri}")
        endpoint, control, interface = uri.get("endpoint"), uri.get("control"), uri.get("interface")
        mode_text = uri.get("control-mode")
        mode = ControlMode(mode_text) if mode_text in tuple(ControlMode) else ControlMode.NONE
        tags = parse_tags(uri)
        if mode is ControlMode.DYNAMIC and control is None:
            raise ChannelError(ErrorCode.INVALID_CHANNEL, f"control-mode=dynamic needs control=host:port: {uri}")
        has_own_addresses = mode in (ControlMode.MANUAL, ControlMode.RESPONSE)
        if endpoint is None and control is None and tags.channel is None and not has_own_addresses:
            raise ChannelError(
                ErrorCode.INVALID_CHANNEL,
                f"a UDP channel needs endpoint, control, a channel tag, or control-mode manual or response: {uri}",
            )
        return cls(
            uri=uri,
            endpoint=None if endpoint is None else parse_host_port(endpoint, "endpoint"),
            control=None if control is None else parse_host_port(control, "control"),
            interface=None if interface is None else parse_interface(interface),
            control_mode=mode,
            tags=tags,
            ttl=_ttl_of(uri),
            socket_send_buffer_length=size_of(uri, "so-sndbuf", INT32_MAX) or 0,
            socket_receive_buffer_length=size_of(uri, "so-rcvbuf", INT32_MAX) or 0,
            transport=transport_of(uri),
            timestamps=TimestampOffsets.parse(uri),
        )

    def check_publication(self) -> None:
        """Check what holds for publications only (wire 5.3).

        :raises ChannelError: GENERIC_ERROR.
        """
        if self.control and not self.endpoint and self.control_mode is ControlMode.NONE:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR, f"a publication with control needs endpoint or control-mode: {self.uri}"
            )
        is_multi_destination = self.control_mode in (ControlMode.DYNAMIC, ControlMode.MANUAL)
        if self.endpoint and self.endpoint.port == 0 and not is_multi_destination:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR, f"a publication cannot send to port 0: endpoint={self.endpoint.text}"
            )

    def check_subscription(self) -> None:
        """Check what holds for subscriptions only (wire 5.3).

        :raises ChannelError: GENERIC_ERROR.
        """
        if self.control and self.control.port == 0:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR, f"a subscription cannot send to port 0: control={self.control.text}"
            )


def _ttl_of(uri: ChannelUri) -> int:
    ttl = int64_of(uri, "ttl")
    if ttl is not None and ttl < 0:
        raise unparsable("ttl", str(ttl))
    return min(ttl or 0, _MAX_TTL)
