"""The entry point: what the DPDK transport is, whether it can be used here, and how it is opened.

The native module is loaded by ``probe`` and ``open``, not by importing this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane.transport import (
    Arrangement,
    Capabilities,
    Level,
    NativeHalf,
    OpenContext,
    TransportSpec,
    Verdict,
    hookimpl,
)
from framelane_dpdk.commands import framelane_register_commands
from framelane_dpdk.settings import DpdkSettings

__all__ = [
    "DpdkTransport",
    "framelane_bench",
    "framelane_register_commands",
    "framelane_transport",
    "open_transport",
    "probe",
]

#: ``FL_ABI_VERSION`` of the headers that this plugin is written against.
ABI_VERSION = 1

_HEADERS = 20 + 8  #: of IPv4 and UDP
_HEADERS_IPV6 = 40 + 8


class DpdkTransport(NativeHalf):
    """An open port of DPDK."""

    def __init__(self, settings: DpdkSettings, context: OpenContext) -> None:
        """Start DPDK in this process, if it is not, and open the device that the settings name.

        :raises TransportError: if there is no such device, or it cannot be opened.
        """
        from framelane_dpdk.environment import start_environment
        from framelane_dpdk.memif_socket import remove_abandoned
        from framelane_dpdk.native import load, version_of
        from framelane_dpdk.target import find_target, release_name

        ffi, lib = load()
        target = find_target(settings, version_of(ffi, lib))
        if target is None:
            raise TransportError(
                "transport 'dpdk' has no device: set transport.dpdk.device = \"0000:03:00.0\", or a vdev"
            )
        start_environment(settings, needs_physical=target.needs_physical)
        if target.listens_at is not None:
            remove_abandoned(target.listens_at)
        native_settings = ffi.new(
            "fl_dpdk_settings_t *",
            {
                "name": target.name.encode(),
                "devargs": target.devargs.encode(),
                "link": target.link.encode(),
                "interface": (target.interface or "").encode(),
                "mtu_length": target.mtu or 0,
                "set_mtu": target.set_mtu,
                "queues": settings.queues,
                "rx_descriptors": max(settings.rx_queue_size, target.least_descriptors),
                "tx_descriptors": max(settings.tx_queue_size, target.least_descriptors),
                "link_wait_ms": settings.link_wait_ms,
                "checksum_offload": settings.checksum_offload,
                "timestamps": settings.timestamps,
                "zero_copy_tx": settings.zero_copy_tx,
                "isolated": target.pci is not None and target.pci.is_bifurcated,
                "is_virtual": target.pci is None,
                "any_length": target.any_length,
                "waits_for_peer": target.waits_for_peer,
                "kernel_coexists": target.kernel_coexists,
                "needs_timers": target.is_ena,
                "no_multicast": target.is_ena,
                "shares_mac": target.shares_mac,
            },
        )
        text = ffi.new("char[1024]")
        port = ffi.new("fl_port_t **")
        if lib.fl_dpdk_open(ffi.cast("fl_host_t *", context.host), native_settings, text, len(text), port) != 0:
            raise TransportError(f"transport 'dpdk' cannot be opened: {ffi.string(text).decode('utf-8', 'replace')}")
        abilities = ffi.new("fl_dpdk_abilities_t *")
        lib.fl_dpdk_abilities(port[0], abilities)
        super().__init__("dpdk", ffi, lib.fl_dpdk_ops(), port[0], _capabilities(abilities, lib))
        self._device = target.name
        release_name(target.name, in_use=True)

    def close(self) -> None:
        """See :class:`framelane.transport.NativeHalf`; the device's name is free again."""
        if self.is_open_here:
            from framelane_dpdk.target import release_name

            super().close()
            release_name(self._device, in_use=False)


def _capabilities(abilities: Any, lib: Any) -> Capabilities:
    offloads = abilities.offloads
    return Capabilities(
        zero_copy_rx=True,
        zero_copy_tx=bool(offloads & lib.FL_PORT_TX_PAYLOAD),
        hardware_timestamps=bool(offloads & lib.FL_PORT_RX_TIMESTAMP),
        multicast=bool(abilities.is_multicast),
        ipv6=True,
        steering=bool(offloads & lib.FL_PORT_STEERING),
        kernel_coexists=bool(offloads & lib.FL_PORT_KERNEL_COEXISTS),
        queues=abilities.queues,
        max_datagram=abilities.mtu_length - _HEADERS,
        max_datagram_ipv6=abilities.mtu_length - _HEADERS_IPV6,
    )


def probe(settings: DpdkSettings) -> Verdict:
    """Report what can be opened; see :class:`framelane.transport.TransportSpec`."""
    from framelane_dpdk.verdict import make_verdict

    return make_verdict(settings)


def open_transport(settings: DpdkSettings, context: OpenContext) -> DpdkTransport:
    """Open the device; see :class:`framelane.transport.TransportSpec`."""
    return DpdkTransport(settings, context)


@hookimpl
def framelane_bench(directory: Path) -> Sequence[Arrangement]:
    """Offer a pair of rings in one process, and memif between two."""
    from framelane_dpdk.bench import arrangements

    return arrangements(directory)


@hookimpl
def framelane_transport() -> TransportSpec:
    """Describe the transport."""
    return TransportSpec(
        name="dpdk",
        summary="DPDK: any Ethernet device that it drives, from user space; physical and virtual",
        abi_version=ABI_VERSION,
        level=Level.PORT,
        settings=DpdkSettings,
        probe=probe,
        open=open_transport,
    )
