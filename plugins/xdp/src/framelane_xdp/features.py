"""What a driver says that it can do with XDP: generic netlink, family ``netdev`` (Linux 6.3). Needs no privilege."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

__all__ = ["Features", "read_features"]

_NETLINK_GENERIC = 16
_REQUEST = 1
_ERROR = 2
_CONTROL = 0x10  # GENL_ID_CTRL
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_DEVICE, _INTERFACE_INDEX, _XDP_FEATURES = 1, 1, 3

_BASIC, _REDIRECT, _ZERO_COPY, _RX_MULTI_BUFFER = 1, 2, 8, 32


@dataclass(frozen=True)
class Features:
    """``NETDEV_XDP_ACT_*`` of an interface, as far as they matter here."""

    native: bool  #: runs a program that redirects
    zero_copy: bool
    multi_buffer: bool  #: receives packets that span several buffers


def read_features(interface_index: int) -> Features | None:
    """Return the features, or ``None`` where the kernel does not tell."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as netlink:
            netlink.settimeout(1.0)
            netlink.bind((0, 0))
            family = _ask(netlink, _CONTROL, _GET_FAMILY, _attribute(_FAMILY_NAME, b"netdev\0"))[_FAMILY_ID]
            (number,) = struct.unpack("=H", family)
            index = _attribute(_INTERFACE_INDEX, struct.pack("=I", interface_index))
            (flags,) = struct.unpack("=Q", _ask(netlink, number, _GET_DEVICE, index)[_XDP_FEATURES])
    except (OSError, KeyError, struct.error):
        return None
    return Features(
        native=flags & (_BASIC | _REDIRECT) == _BASIC | _REDIRECT,
        zero_copy=bool(flags & _ZERO_COPY),
        multi_buffer=bool(flags & _RX_MULTI_BUFFER),
    )


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _ask(netlink: socket.socket, family: int, command: int, attributes: bytes) -> dict[int, bytes]:
    """Return the attributes of the answer.

    :raises OSError: if the kernel answers with an error.
    """
    message = struct.pack("=BBH", command, 1, 0) + attributes
    netlink.send(struct.pack("=IHHII", 16 + len(message), family, _REQUEST, 1, 0) + message)
    answer = netlink.recv(65536)
    length, kind = struct.unpack_from("=IH", answer)
    if kind == _ERROR:
        raise OSError(-struct.unpack_from("=i", answer, 16)[0], "generic netlink")
    found = {}
    at = 20
    while at + 4 <= min(length, len(answer)):
        size, number = struct.unpack_from("=HH", answer, at)
        if size < 4:
            break
        found[number & 0x3FFF] = answer[at + 4 : at + size]
        at += (size + 3) & ~3
    return found
