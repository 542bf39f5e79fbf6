"""The entry point: what the sockets transport is, whether it can be used here, and how it is opened.

The native module is loaded by ``probe`` and ``open``, not by importing this one.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane.transport import (
    Capabilities,
    Fact,
    Level,
    NativeHalf,
    Obstacle,
    OpenContext,
    TransportSpec,
    Verdict,
    hookimpl,
)
from framelane_sockets.settings import SocketsSettings

__all__ = ["SocketsTransport", "framelane_transport", "open_transport", "probe"]

#: ``FL_ABI_VERSION`` of the headers that this plugin is written against.
ABI_VERSION = 1

#: The longest UDP payload over IPv4; longer ones over IPv6 are not offered.
MAX_DATAGRAM = 65507


class SocketsTransport(NativeHalf):
    """An open sockets transport."""

    def __init__(self, settings: SocketsSettings, context: OpenContext) -> None:
        """Open the transport.

        :raises TransportError: if the host speaks another ABI or no UDP socket can be made.
        """
        from framelane_sockets._native import ffi, lib

        native_settings = ffi.new("fl_sockets_settings_t *", settings.model_dump())
        text = ffi.new("char[512]")
        transport = ffi.new("fl_transport_t **")
        if lib.fl_sockets_open(ffi.cast("fl_host_t *", context.host), native_settings, text, len(text), transport) != 0:
            raise TransportError(f"transport 'sockets' cannot be opened: {ffi.string(text).decode()}")
        offloads = ffi.new("fl_sockets_offloads_t *")
        lib.fl_sockets_offloads(transport[0], offloads)
        super().__init__("sockets", ffi, lib.fl_sockets_ops(), transport[0], _capabilities(settings, offloads))


def _capabilities(settings: SocketsSettings, offloads: Any) -> Capabilities:
    return Capabilities(
        multicast=True,
        ipv6=bool(offloads.ipv6),
        queues=0,
        max_datagram=MAX_DATAGRAM,
        segmentation_offload=settings.segmentation and offloads.segment_limit > 1,
        can_arm=True,
        loops_back=True,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        return f"unknown ({error.strerror})"


def _segmentation_fact(offloads: Any) -> str:
    if offloads.segment_limit == 1:
        return "no"
    how = "measured" if offloads.is_measured else "assumed: loopback is down"
    return f"{offloads.segment_limit} segments, {offloads.segment_bytes} bytes ({how})"


def probe(settings: SocketsSettings) -> Verdict:
    """Report what the kernel offers; see :class:`framelane.transport.TransportSpec`."""
    kernel = platform.release()
    facts: tuple[Fact, ...] = (
        Fact("kernel", kernel),
        Fact("net.core.rmem_max", _read("/proc/sys/net/core/rmem_max")),
        Fact("net.core.wmem_max", _read("/proc/sys/net/core/wmem_max")),
    )
    try:
        from framelane_sockets._native import ffi, lib
    except ImportError as error:
        obstacle = Obstacle(
            asked="the native module framelane_sockets._native",
            found=str(error),
            where=str(Path(__file__).parent),
            next="reinstall framelane-sockets: pip install --force-reinstall framelane-sockets",
        )
        return Verdict(usable=False, facts=facts, obstacles=(obstacle,))

    offloads = ffi.new("fl_sockets_offloads_t *")
    code = lib.fl_sockets_probe(offloads)
    if code != 0:
        obstacle = Obstacle(
            asked="a UDP socket",
            found=f"socket(AF_INET, SOCK_DGRAM) failed with error {-code}",
            where=f"Linux {kernel}",
            next="allow this process to make sockets (limits, seccomp profile)",
        )
        return Verdict(usable=False, facts=facts, obstacles=(obstacle,))

    facts += (
        Fact("segmentation (UDP_SEGMENT)", _segmentation_fact(offloads)),
        Fact("coalescing (UDP_GRO)", "yes" if offloads.coalescing else "no"),
        Fact("IPv6", "yes" if offloads.ipv6 else "no"),
    )
    obstacles: tuple[Obstacle, ...] = ()
    if settings.segmentation and offloads.segment_limit == 1:
        obstacles += (
            Obstacle(
                asked="UDP segmentation on send",
                found="the kernel refuses UDP_SEGMENT; every datagram is sent by itself",
                where=f"setsockopt on a UDP socket, Linux {kernel}",
                next="run Linux 4.18 or newer, or set transport.sockets.segmentation = false",
            ),
        )
    if settings.coalescing and not offloads.coalescing:
        obstacles += (
            Obstacle(
                asked="UDP coalescing on receive",
                found="the kernel refuses UDP_GRO; every datagram is received by itself",
                where=f"setsockopt on a UDP socket, Linux {kernel}",
                next="run Linux 5.0 or newer, or set transport.sockets.coalescing = false",
            ),
        )
    return Verdict(usable=True, capabilities=_capabilities(settings, offloads), facts=facts, obstacles=obstacles)


def open_transport(settings: SocketsSettings, context: OpenContext) -> SocketsTransport:
    """Open the transport; see :class:`framelane.transport.TransportSpec`."""
    return SocketsTransport(settings, context)


@hookimpl
def framelane_transport() -> TransportSpec:
    """Describe the transport."""
    return TransportSpec(
        name="sockets",
        summary="BSD sockets with UDP segmentation offload; works everywhere, needs no privilege",
        abi_version=ABI_VERSION,
        level=Level.DATAGRAM,
        settings=SocketsSettings,
        probe=probe,
        open=open_transport,
    )
