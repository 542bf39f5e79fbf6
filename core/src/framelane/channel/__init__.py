"""Channels: their URIs, what they ask for, and the addresses behind them (wire 5, shm 9.3 and 9.4).

A command's text becomes a publication or subscription in two steps. The first looks nothing up and belongs to the
control thread; the second may block on a name and belongs to a helper thread::

    uri = ChannelUri.parse(decode_channel(data))
    params = PublicationParams.parse(uri, defaults, find_tagged)
    channel = UdpChannel.resolve(params.udp, resolver, interfaces)  # UDP only
"""

from framelane.channel.addresses import Address, HostPort, NameResolver, SystemNameResolver, resolve
from framelane.channel.destinations import check_receive_destination, check_send_destination
from framelane.channel.endpoint_table import EndpointTable
from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.flow_control import FlowControl
from framelane.channel.interface import Interfaces, LocalInterface, NetlinkInterfaces, NetworkInterface
from framelane.channel.publication_params import ExistingPublication, PublicationDefaults, PublicationParams
from framelane.channel.sessions import SessionIds, check_session_id
from framelane.channel.start_position import StartPosition
from framelane.channel.subscription_params import Group, SubscriptionDefaults, SubscriptionParams
from framelane.channel.udp_channel import UdpChannel
from framelane.channel.udp_params import ControlMode, Tags, UdpParams
from framelane.channel.untethered import UntetheredTimeouts
from framelane.channel.uri import MAX_URI_LENGTH, ChannelUri, Media, decode_channel
from framelane.channel.wildcard_ports import WildcardPorts

__all__ = [
    "MAX_URI_LENGTH",
    "Address",
    "ChannelError",
    "ChannelUri",
    "ControlMode",
    "EndpointTable",
    "ErrorCode",
    "ExistingPublication",
    "FlowControl",
    "Group",
    "HostPort",
    "Interfaces",
    "LocalInterface",
    "Media",
    "NameResolver",
    "NetlinkInterfaces",
    "NetworkInterface",
    "PublicationDefaults",
    "PublicationParams",
    "SessionIds",
    "StartPosition",
    "SubscriptionDefaults",
    "SubscriptionParams",
    "SystemNameResolver",
    "Tags",
    "UdpChannel",
    "UdpParams",
    "UntetheredTimeouts",
    "WildcardPorts",
    "check_receive_destination",
    "check_send_destination",
    "check_session_id",
    "decode_channel",
    "resolve",
]
