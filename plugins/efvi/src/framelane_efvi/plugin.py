"""The entry point: what the ef_vi transport is, whether it can be used here, and how it is opened.

The native module is loaded by ``probe`` and ``open``, not by importing this one.
"""

from __future__ import annotations

from typing import Any

from framelane.errors import TransportError
from framelane.transport import (
    Capabilities,
    Level,
    NativeTransport,
    OpenContext,
    TransportSpec,
    Verdict,
    hookimpl,
)
from framelane_efvi.commands import framelane_register_commands
from framelane_efvi.settings import EfviSettings

__all__ = ["EfviTransport", "framelane_register_commands", "framelane_transport", "open_transport", "probe"]

#: ``FL_ABI_VERSION`` of the headers that this plugin is written against.
ABI_VERSION = 1

_SWITCH = {"auto": 0, "on": 1, "off": 2}
_VI_FLAGS = {"tx_push_always": 1, "tx_push_disable": 2, "tx_ctpio_no_poison": 4, "enable_tph": 8}


class EfviTransport:
    """An open port."""

    def __init__(self, settings: EfviSettings, context: OpenContext) -> None:
        """Take virtual interfaces of the adapter; see ``fl_efvi_open``.

        :raises TransportError: if there is no adapter or library, or one of them refuses; the message says what to do.
        """
        from framelane_efvi.native import StandInError, load, refuse_stand_in

        try:
            ffi, lib = load()
            refuse_stand_in(lib)
        except (ImportError, StandInError) as error:
            raise TransportError(
                f"transport 'efvi' cannot be opened: {error}; framelane transports --verbose says what to do"
            ) from error
        native = ffi.new("fl_efvi_settings_t *", native_settings(settings, is_stand_in=lib.fl_efvi_is_stand_in() != 0))
        text = ffi.new("char[1024]")
        port = ffi.new("fl_port_t **")
        if lib.fl_efvi_open(ffi.cast("fl_host_t *", context.host), native, text, len(text), port) != 0:
            raise TransportError(f"transport 'efvi' cannot be opened: {ffi.string(text).decode(errors='replace')}")
        self._native: NativeTransport | None = NativeTransport(
            ops=int(ffi.cast("uintptr_t", lib.fl_efvi_ops())), object=int(ffi.cast("uintptr_t", port[0]))
        )
        self._facts = ffi.new("fl_efvi_facts_t *")
        lib.fl_efvi_facts(port[0], self._facts)

    @property
    def native(self) -> NativeTransport | None:
        return self._native

    @property
    def capabilities(self) -> Capabilities:
        from framelane_efvi.verdict import device_capabilities

        return device_capabilities(
            mtu_length=self._facts.mtu_length,
            queues=self._facts.queues,
            timestamps=bool(self._facts.rx_timestamps),
            can_arm=bool(self._facts.can_arm),
        )

    @property
    def facts(self) -> Any:
        """The ``fl_efvi_facts_t`` of the open port."""
        return self._facts

    def close(self) -> None:
        """Give the virtual interfaces back; in a process that did not open the port, do nothing.

        :raises TransportError: if a queue's thread has not left; the port stays open.
        """
        if self._native is None:
            return
        from framelane_efvi.native import load

        ffi, lib = load()
        if lib.fl_efvi_ops().close(ffi.cast("fl_port_t *", self._native.object)) != 0:
            raise TransportError("transport 'efvi' cannot be closed: a queue is still in use")
        self._native = None


def native_settings(settings: EfviSettings, *, is_stand_in: bool = False) -> dict[str, Any]:
    """Return the fields of ``fl_efvi_settings_t``.

    :raises TransportError: if there is no interface to use.
    """
    from framelane_efvi.adapters import Machine, find_adapters
    from framelane_efvi.choice import choose_interface, vlan_interface

    interface = settings.interface
    if interface is None and not is_stand_in:
        chosen = choose_interface(None, [one for one in find_adapters(Machine()) if one.is_driven])
        interface = chosen.interface if chosen is not None else None
    if interface is None:
        raise TransportError(
            "transport 'efvi' cannot be opened: no interface, and not exactly one adapter to take; "
            'set transport.efvi.interface = "eth2"'
        )
    vlan_index = 0
    if settings.vlan is not None:
        tagged = vlan_interface(interface, settings.vlan)
        if tagged is None:
            raise TransportError(
                f"transport 'efvi' cannot be opened: {interface} has no interface for VLAN {settings.vlan}, whose "
                f"addresses and neighbours Linux would keep; make one: ip link add link {interface} name "
                f"{interface}.{settings.vlan} type vlan id {settings.vlan}"
            )
        vlan_index = tagged[0]
    return {
        "interface": interface.encode(),
        "queues": settings.queues,
        "rx_queue_size": settings.rx_queue_size or -1,
        "tx_queue_size": settings.tx_queue_size or -1,
        "event_queue_size": settings.event_queue_size or -1,
        "datapath": {"auto": 0, "express": 1, "enterprise": 2}[settings.datapath],
        "transmit": {"auto": 0, "ctpio": 1, "pio": 2, "dma": 3}[settings.transmit],
        "ctpio_threshold": settings.ctpio_threshold,
        "event_merge": _SWITCH[settings.event_merge],
        "share_queues": _SWITCH[settings.share_queues],
        "hugepages": _SWITCH[settings.hugepages],
        "vi_flags": sum(_VI_FLAGS[name] for name in set(settings.vi_flags)),
        "timestamps": settings.timestamps,
        "tx_timestamps": settings.tx_timestamps,
        "vlan_index": vlan_index,
        "ip_mtu": settings.ip_mtu or 0,
        "link_wait_ms": settings.link_wait_ms,
    }


def probe(settings: EfviSettings) -> Verdict:
    """Report what can be opened; see :class:`framelane.transport.TransportSpec`."""
    from framelane_efvi.verdict import make_verdict

    return make_verdict(settings)


def open_transport(settings: EfviSettings, context: OpenContext) -> EfviTransport:
    """Open the adapter; see :class:`framelane.transport.TransportSpec`."""
    return EfviTransport(settings, context)


@hookimpl
def framelane_transport() -> TransportSpec:
    """Describe the transport."""
    return TransportSpec(
        name="efvi",
        summary="ef_vi on Solarflare and AMD adapters that stay with Linux; needs Onload's driver",
        abi_version=ABI_VERSION,
        level=Level.PORT,
        settings=EfviSettings,
        probe=probe,
        open=open_transport,
    )
