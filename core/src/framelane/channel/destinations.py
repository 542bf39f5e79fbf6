"""Destinations of multi-destination channels (wire 3.8, shm 9.5)."""

from __future__ import annotations

from framelane.channel.addresses import HostPort, parse_host_port
from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri, Media

__all__ = ["check_receive_destination", "check_send_destination"]

_FORBIDDEN_KEYS = ("mtu", "rcv-wnd", "so-rcvbuf", "so-sndbuf", "response-correlation-id")


def check_send_destination(uri: ChannelUri) -> HostPort:
    """Check a destination for a publication.

    :returns: where it is.
    :raises ChannelError: INVALID_CHANNEL or GENERIC_ERROR for what can be none.
    """
    if uri.is_spy:
        raise ChannelError(ErrorCode.INVALID_CHANNEL, f"Aeron spies are invalid as send destinations: {uri}")
    endpoint = uri.get("endpoint")
    if uri.media is not Media.UDP or endpoint is None:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"incorrect URI format for destination: {uri}")
    _check_keys(uri)
    host_port = parse_host_port(endpoint, "endpoint")
    if host_port.port == 0:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"a destination cannot have port 0: {uri}")
    return host_port


def check_receive_destination(uri: ChannelUri) -> None:
    """Check a destination for a subscription; IPC and spies may be one.

    :raises ChannelError: INVALID_CHANNEL for what can be none.
    """
    if uri.media is Media.UDP and not uri.is_spy:
        _check_keys(uri)


def _check_keys(uri: ChannelUri) -> None:
    forbidden = [key for key in _FORBIDDEN_KEYS if uri.get(key) is not None]
    if uri.get("control-mode") == "response":
        forbidden.append("control-mode=response")
    if forbidden:
        raise ChannelError(
            ErrorCode.INVALID_CHANNEL, f"destinations must not contain the key: {forbidden[0]} channel={uri}"
        )
