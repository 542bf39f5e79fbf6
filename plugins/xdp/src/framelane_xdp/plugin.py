"""The entry point: what the AF_XDP transport is, and how it is opened.

The native module is loaded by ``probe`` and ``open``, not by importing this one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from framelane.errors import TransportError
from framelane.transport import (
    Arrangement,
    Level,
    NativeHalf,
    OpenContext,
    TransportSpec,
    hookimpl,
)
from framelane_xdp.network import read_network
from framelane_xdp.probe import device_capabilities, probe
from framelane_xdp.settings import XdpSettings

__all__ = ["XdpTransport", "framelane_bench", "framelane_transport", "open_transport"]

#: ``FL_ABI_VERSION`` of the headers that this plugin is written against.
ABI_VERSION = 1

#: Where it is noted which ntuple rules a driver made; gone after a boot, as they are.
DEFAULT_STATE_DIRECTORY = "/run/framelane/xdp"
#: Names another directory; for tests and for drivers that may not write there.
STATE_DIRECTORY_VARIABLE = "FRAMELANE_XDP_STATE_DIRECTORY"


class XdpTransport(NativeHalf):
    """An open port."""

    def __init__(self, settings: XdpSettings, context: OpenContext) -> None:
        """Attach the program and bind the sockets; see ``fl_xdp_open``.

        :raises TransportError: if no interface is configured, it is the one with the default route, or the kernel
            refuses; the message says what to do.
        """
        from framelane_xdp._native import ffi, lib

        native = ffi.new("fl_xdp_settings_t *", native_settings(settings))
        text = ffi.new("char[512]")
        port = ffi.new("fl_port_t **")
        if lib.fl_xdp_open(ffi.cast("fl_host_t *", context.host), native, text, len(text), port) != 0:
            raise TransportError(f"transport 'xdp' cannot be opened: {ffi.string(text).decode()}")
        self._facts = ffi.new("fl_xdp_facts_t *")
        lib.fl_xdp_facts(port[0], self._facts)
        capabilities = device_capabilities(
            mtu_length=self._facts.mtu_length,
            queues=self._facts.queues,
            steering=bool(self._facts.steers),
            zero_copy=bool(self._facts.is_zero_copy),
        )
        super().__init__("xdp", ffi, lib.fl_xdp_ops(), port[0], capabilities)

    @property
    def facts(self) -> Any:
        """The ``fl_xdp_facts_t`` of the open port."""
        return self._facts


def native_settings(settings: XdpSettings) -> dict[str, Any]:
    """Return the fields of ``fl_xdp_settings_t``.

    :raises TransportError: if the interface may not be used.
    """
    interface = settings.interface
    if interface is None:
        raise TransportError("transport 'xdp' cannot be opened: no interface; set transport.xdp.interface = \"eth2\"")
    network = read_network()
    carrier = network.default_route_over(interface)
    if carrier is not None and not settings.allow_default_route:
        raise TransportError(
            f"transport 'xdp' cannot be opened: {interface} carries the default route (of {carrier}), and a mistake on "
            "it may cost the way to this machine; use another interface, or set "
            "transport.xdp.allow_default_route = true"
        )
    vlan_index = 0
    if settings.vlan is not None:
        tagged = network.vlan_interface(interface, settings.vlan)
        if tagged is None:
            raise TransportError(
                f"transport 'xdp' cannot be opened: {interface} has no interface for VLAN {settings.vlan}, whose "
                f"addresses and neighbours Linux would keep; make one: ip link add link {interface} name "
                f"{interface}.{settings.vlan} type vlan id {settings.vlan}"
            )
        vlan_index = tagged.index
    return {
        "interface": interface.encode(),
        "mode": {"auto": 0, "native": 1, "generic": 2}[settings.mode],
        "copy": {"auto": 0, "zero-copy": 1, "copy": 2}[settings.copy_mode],
        "queues": settings.queues or 0,
        "ring_size": settings.ring_size,
        "need_wakeup": settings.need_wakeup,
        "busy_poll_us": settings.busy_poll_us,
        "busy_poll_budget": settings.busy_poll_budget,
        "hugepages": settings.hugepages,
        "vlan_index": vlan_index,
        "ip_mtu": settings.ip_mtu or 0,
        "link_wait_ms": settings.link_wait_ms,
        "state_directory": state_directory(),
    }


def state_directory() -> bytes:
    """Return where it is noted which ntuple rules a driver made; it need not exist.

    :raises TransportError: if the path is longer than the native half takes.
    """
    path = os.fsencode(os.environ.get(STATE_DIRECTORY_VARIABLE) or DEFAULT_STATE_DIRECTORY)
    if len(path) > 191:
        raise TransportError(
            f"transport 'xdp' cannot be opened: {STATE_DIRECTORY_VARIABLE} names a path of {len(path)} bytes, and at "
            "most 191 are taken; name a shorter one"
        )
    return path


def open_transport(settings: XdpSettings, context: OpenContext) -> XdpTransport:
    """Open the transport; see :class:`framelane.transport.TransportSpec`."""
    return XdpTransport(settings, context)


@hookimpl
def framelane_bench() -> Sequence[Arrangement]:
    """Offer two ends of a veth pair."""
    from framelane_xdp.bench import arrangements

    return arrangements()


@hookimpl
def framelane_transport() -> TransportSpec:
    """Describe the transport."""
    return TransportSpec(
        name="xdp",
        summary="AF_XDP on an interface that stays with Linux; needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF",
        abi_version=ABI_VERSION,
        level=Level.PORT,
        settings=XdpSettings,
        probe=probe,
        open=open_transport,
    )
