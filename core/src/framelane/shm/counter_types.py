"""Counter types: ids, keys and labels (shm 5.5, 5.6), and framelane's own."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

__all__ = [
    "OWN_TYPES",
    "ChannelStatus",
    "CounterType",
    "LocalAddressKey",
    "NetstackLabel",
    "StreamKey",
    "TransportKey",
    "channel_key",
    "decode_channel_key",
    "decode_heartbeat_key",
    "decode_index_key",
    "heartbeat_key",
    "index_key",
    "stream_label",
]

STREAM_CHANNEL_LENGTH = 92
CHANNEL_LENGTH = 108
ADDRESS_LENGTH = 103
TRANSPORT_LENGTH = 100
LABEL_LENGTH = 380

_STREAM = struct.Struct("<qiii")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")
_LOCAL_ADDRESS = struct.Struct("<ii")
_TRANSPORT = struct.Struct("<iii")
_ENCODING = ("ascii", "surrogateescape")


class CounterType(enum.IntEnum):
    """Type ids. Those from 7700 to 7799 are framelane's own."""

    SYSTEM = 0
    PUBLISHER_LIMIT = 1
    SENDER_POSITION = 2
    RECEIVER_HWM = 3
    SUBSCRIBER_POSITION = 4
    RECEIVER_POSITION = 5
    SEND_CHANNEL_STATUS = 6
    RECEIVE_CHANNEL_STATUS = 7
    SENDER_LIMIT = 9
    PER_IMAGE = 10
    CLIENT_HEARTBEAT = 11
    PUBLISHER_POSITION = 12
    SENDER_BACK_PRESSURE = 13
    LOCAL_SOCKET_ADDRESS = 14
    RESOLVER_NEIGHBORS = 15
    RESOLVER_CACHE_ENTRIES = 16
    FLOW_CONTROL_RECEIVERS = 17
    MDC_DESTINATIONS = 18
    SENDER_NAKS_RECEIVED = 19
    RECEIVER_NAKS_SENT = 20
    BOOTSTRAP_NEIGHBOR = 21
    NAME_ENTRY = 2001
    TRANSPORT_FIGURE = 7700
    TRANSPORT_ENDPOINT = 7701
    TRANSPORT_FALLBACK = 7702
    DROPPED_FRAMES = 7704
    MALFORMED_COMMANDS = 7705
    TRANSPORT_PASSED_OVER = 7707
    TRANSPORT_NETSTACK = 7708


@dataclass(frozen=True)
class OwnType:
    """A row of the table of framelane's own types; ``docs/counters.md`` is made of them."""

    type: CounterType
    label: str
    key: str
    value: str


#: The one table of framelane's own counter types.
OWN_TYPES: tuple[OwnType, ...] = (
    OwnType(
        CounterType.TRANSPORT_FIGURE,
        "NAME-FIGURE",
        "NAME",
        "a running total or a gauge of the transport NAME",
    ),
    OwnType(
        CounterType.TRANSPORT_ENDPOINT,
        "transport: K NAME WHY",
        "i32 channel status K, i32 place, NAME",
        "place of the transport that serves the endpoint in the order, 0 for the first choice; "
        "with a channel status of -1 the one that lost its device",
    ),
    OwnType(
        CounterType.TRANSPORT_FALLBACK,
        "transport-fallbacks",
        "none",
        "endpoints that are not on the first transport of the order",
    ),
    OwnType(
        CounterType.DROPPED_FRAMES,
        "dropped-REASON",
        "i32 reason",
        "datagrams without effect for this reason: malformed, for nobody, or not to be used",
    ),
    OwnType(
        CounterType.MALFORMED_COMMANDS,
        "malformed-commands",
        "none",
        "corrupt records of the to-driver ring, and records that are no command",
    ),
    OwnType(
        CounterType.TRANSPORT_PASSED_OVER,
        "transport-passed-over: K NAME WHY",
        "i32 channel status K, i32 place, NAME",
        "place in the order of a transport that stood before the one that serves the endpoint",
    ),
    OwnType(
        CounterType.TRANSPORT_NETSTACK,
        "netstack: NAME MODE INTERFACE mtu N ADDRESSES",
        "NAME",
        "neighbours that datagrams can be sent to; MODE is kernel, or own with - for INTERFACE; there is one while "
        "NAME has its device",
    ),
)


class ChannelStatus(enum.IntEnum):
    """Values of channel status counters; a local socket address counter is ``ACTIVE`` while it is bound."""

    ERRORED = -1
    INITIALIZING = 0
    ACTIVE = 1
    CLOSING = 2


def _cut(text: str, longest: int) -> bytes:
    return text.encode(*_ENCODING)[:longest]


def _counted(key: bytes, at: int, length: int, longest: int) -> str:
    """Honour a length field as far as the key reaches: clients can write it."""
    return key[at : at + min(max(length, 0), longest)].decode(*_ENCODING)


@dataclass(frozen=True)
class StreamKey:
    """Key of counters of a stream; the channel is cut at 92 bytes."""

    registration_id: int
    session_id: int
    stream_id: int
    channel: str

    def encode(self) -> bytes:
        channel = _cut(self.channel, STREAM_CHANNEL_LENGTH)
        return _STREAM.pack(self.registration_id, self.session_id, self.stream_id, len(channel)) + channel

    @classmethod
    def decode(cls, key: bytes) -> StreamKey:
        registration_id, session_id, stream_id, length = _STREAM.unpack_from(key)
        channel = _counted(key, _STREAM.size, length, STREAM_CHANNEL_LENGTH)
        return cls(registration_id, session_id, stream_id, channel)


@dataclass(frozen=True)
class LocalAddressKey:
    """Key of local socket addresses; the text is cut at 103 bytes."""

    channel_status_counter_id: int
    address: str

    def encode(self) -> bytes:
        address = _cut(self.address, ADDRESS_LENGTH)
        return _LOCAL_ADDRESS.pack(self.channel_status_counter_id, len(address)) + address + b"\0"

    @classmethod
    def decode(cls, key: bytes) -> LocalAddressKey:
        counter_id, length = _LOCAL_ADDRESS.unpack_from(key)
        return cls(counter_id, _counted(key, _LOCAL_ADDRESS.size, length, ADDRESS_LENGTH))


@dataclass(frozen=True)
class TransportKey:
    """Key of the counters that tell which transport serves an endpoint, and which were passed over."""

    channel_status_counter_id: int
    place: int  #: in the order, from 0
    transport: str

    def encode(self) -> bytes:
        name = _cut(self.transport, TRANSPORT_LENGTH)
        return _TRANSPORT.pack(self.channel_status_counter_id, self.place, len(name)) + name

    @classmethod
    def decode(cls, key: bytes) -> TransportKey:
        counter_id, place, length = _TRANSPORT.unpack_from(key)
        return cls(counter_id, place, _counted(key, _TRANSPORT.size, length, TRANSPORT_LENGTH))


@dataclass(frozen=True)
class NetstackLabel:
    """Label of the counter that tells of a port's netstack; only the addresses that have room are in it."""

    transport: str
    mode: str  #: ``kernel`` or ``own``
    interface: str  #: kernel mode: that has the addresses
    mtu: int  #: longest IP packet, bytes
    addresses: tuple[str, ...]

    def encode(self) -> str:
        text = f"netstack: {self.transport} {self.mode} {self.interface or '-'} mtu {self.mtu}"
        for address in self.addresses:
            if len(text) + 1 + len(address) <= LABEL_LENGTH:
                text += f" {address}"
        return text

    @classmethod
    def decode(cls, label: str) -> NetstackLabel:
        """Return the parts of a label.

        :raises ValueError: if it is none.
        """
        _, transport, mode, interface, _, mtu, *addresses = label.split()
        return cls(transport, mode, "" if interface == "-" else interface, int(mtu), tuple(addresses))


def channel_key(channel: str) -> bytes:
    """Return the key of a channel's status; the channel is cut at 108 bytes."""
    text = _cut(channel, CHANNEL_LENGTH)
    return _I32.pack(len(text)) + text


def decode_channel_key(key: bytes) -> str:
    """Return the channel of a channel key."""
    return _counted(key, _I32.size, _I32.unpack_from(key)[0], CHANNEL_LENGTH)


def heartbeat_key(client_id: int) -> bytes:
    """Return the key of a client's heartbeat."""
    return _I64.pack(client_id)


def decode_heartbeat_key(key: bytes) -> int:
    """Return the client id of a heartbeat key."""
    return int(_I64.unpack_from(key)[0])


def index_key(index: int) -> bytes:
    """Return the key of what is numbered: system counters, neighbours, reasons."""
    return _I32.pack(index)


def decode_index_key(key: bytes) -> int:
    """Return the number of an index key."""
    return int(_I32.unpack_from(key)[0])


#: What stands before the colon of a stream counter's label (shm 5.6).
STREAM_LABELS = {
    CounterType.PUBLISHER_LIMIT: "pub-lmt",
    CounterType.SENDER_POSITION: "snd-pos",
    CounterType.RECEIVER_HWM: "rcv-hwm",
    CounterType.SUBSCRIBER_POSITION: "sub-pos",
    CounterType.RECEIVER_POSITION: "rcv-pos",
    CounterType.SENDER_LIMIT: "snd-lmt",
    CounterType.SENDER_BACK_PRESSURE: "snd-bpe",
    CounterType.FLOW_CONTROL_RECEIVERS: "fc-receivers",
    CounterType.SENDER_NAKS_RECEIVED: "snd-naks-received",
    CounterType.RECEIVER_NAKS_SENT: "rcv-naks-sent",
}


def stream_label(
    name: CounterType | str,
    registration_id: int,
    session_id: int,
    stream_id: int,
    channel: str,
    *,
    join_position: int | None = None,
) -> str:
    """Return the label of a stream's counter.

    :param name: a type of :data:`STREAM_LABELS`, or what stands before the colon, such as ``pub-pos (concurrent)``.
    :param join_position: of a subscriber position.
    """
    prefix = STREAM_LABELS[name] if isinstance(name, CounterType) else name
    suffix = "" if join_position is None else f" @{join_position}"
    return f"{prefix}: {registration_id} {session_id} {stream_id} {channel}{suffix}"
