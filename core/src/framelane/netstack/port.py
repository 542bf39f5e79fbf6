"""A port under a netstack: how a plugin of level ``port`` becomes a transport that the driver can use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from framelane._native import ffi, lib
from framelane.errors import TransportError
from framelane.netstack.feed import Feed, FeedLog
from framelane.netstack.netlink import Link, NetlinkRequests
from framelane.netstack.own import own_addresses, own_routes
from framelane.netstack.tables import NativeTables, NetstackView
from framelane.transport.native import NativeHost, OpenTransport, raise_native
from framelane.transport.port_settings import PortSettings
from framelane.transport.spec import Capabilities, NativeTransport, Transport, TransportSettings

__all__ = ["PortTransport", "open_port"]

_HEADERS = 28  # IPv4 and UDP, bytes
_HEADERS_IPV6 = 48
_UNTAGGED = 0xFFFF


@dataclass(frozen=True)
class _Attributes:
    """Of ``fl_port_attributes_t``."""

    offloads: int
    mtu: int
    interface_index: int
    mac: bytes


@dataclass(frozen=True)
class _Network:
    """Where a port is: the interface that has its addresses, or what is configured in its place."""

    settings: PortSettings
    mac: bytes
    interface: Link | None  #: ``None``: own mode
    mtu: int  #: longest IP packet, bytes


class PortTransport(OpenTransport):
    """A port and its netstack, as one transport."""

    def __init__(
        self,
        name: str,
        native: NativeTransport,
        capabilities: Capabilities,
        host: NativeHost,
        port: Transport,
        network: _Network,
    ) -> None:
        super().__init__(name, native, capabilities, host, self._close_all)
        self.network = network
        self.tables = NativeTables(ffi.cast("fl_transport_t *", native.object))
        self.feed: Feed | None = None
        self._port = port

    def netstack_view(self) -> NetstackView:
        """See :class:`framelane.transport.native.OpenTransport`."""
        _ = self.binding
        network, tables = self.network, self.tables
        interface = None if network.interface is None else network.interface.name
        mode = "own" if interface is None else "kernel"
        return NetstackView(mode, interface, network.mtu, tables.addresses, tuple(tables.neighbours()))

    def _close_all(self) -> None:
        """Feed, netstack, plugin: each touches what comes after it."""
        if self.feed is not None:
            self.feed.stop()
        try:
            self.close_native()
        except BaseException:
            if self.feed is not None:
                self.feed.start()
            raise
        if self.feed is not None:
            self.feed.close()
        self._port.close()


def open_port(name: str, port: Transport, settings: TransportSettings, host: NativeHost) -> PortTransport:
    """Put a netstack on an open port. On a thread of the network namespace in which the port is.

    :param port: closed with the result, or here if this fails.
    :param settings: the plugin's; one that knows better gives its transport an attribute ``port_settings``.
    :param host: closed with the result.
    :raises TransportError: if the settings do not fit the port.
    :raises NativeError: if the port or the netstack refuses.
    """
    try:
        opened = _open(name, port, settings, host)
    except BaseException:
        port.close()
        raise
    try:
        _tell(opened, host)
    except BaseException:
        opened.close()
        raise
    return opened


def _open(name: str, port: Transport, given: TransportSettings, host: NativeHost) -> PortTransport:
    settings = getattr(port, "port_settings", given)
    if not isinstance(settings, PortSettings):
        raise TransportError(f"transport '{name}' is of level port, but its settings are no PortSettings")
    if port.native is None:
        raise TransportError(f"transport '{name}' is of level port, but its open gave no native half")
    attributes = _attributes(name, port.native)
    interface = _interface(name, settings, attributes) if _is_kernel_mode(name, settings, attributes) else None
    limits = (attributes.mtu, settings.ip_mtu, interface.mtu if interface is not None else None)
    mtu = min(limit for limit in limits if limit is not None)
    config = _config(name, settings, interface, mtu)
    netstack = lib.fl_netstack_open(
        ffi.cast("void *", port.native.ops), ffi.cast("void *", port.native.object), config, host.table, 0
    )
    if netstack == ffi.NULL:
        raise_native(-lib.FL_EINVAL, f"netstack of transport '{name}'")
    ops = lib.fl_netstack_ops(netstack)
    native = NativeTransport(int(ffi.cast("uintptr_t", ops)), int(ffi.cast("uintptr_t", netstack)))
    capabilities = _capabilities(port, attributes, ops, mtu)
    try:
        return PortTransport(name, native, capabilities, host, port, _Network(settings, attributes.mac, interface, mtu))
    except BaseException:
        ops.close(netstack)
        raise


def _tell(opened: PortTransport, host: NativeHost) -> None:
    """Let the netstack know what is around it: once from the configuration, or from now on by the kernel."""
    network = opened.network
    if network.interface is not None:
        opened.feed = Feed(
            opened.tables,
            replace(network.interface, mtu=network.mtu),
            _log(host),
            lambda: int(host.table.nano_clock(host.table)),
        )
        opened.feed.start()
        return
    addresses, routes = own_addresses(network.settings, network.mac), own_routes(network.settings)
    if not (opened.tables.set_addresses(addresses) and opened.tables.set_routes(routes)):
        raise TransportError(
            f"transport '{opened.name}': {len(addresses)} addresses and {len(routes)} routes are configured; "
            "a netstack holds 64 and 256"
        )


def _attributes(name: str, native: NativeTransport) -> _Attributes:
    attributes = ffi.new("fl_port_attributes_t *")
    ops, port = ffi.cast("void *", native.ops), ffi.cast("void *", native.object)
    status = lib.fl_port_attributes(ops, port, name.encode(), attributes)
    if status < 0:
        raise_native(status, f"port of transport '{name}'")
    return _Attributes(
        attributes.offloads, attributes.mtu_length, attributes.interface_index, bytes(ffi.buffer(attributes.mac))
    )


def _is_kernel_mode(name: str, settings: PortSettings, attributes: _Attributes) -> bool:
    """Decide who answers ARP, and refuse settings that would have no effect."""
    key = f"transport.{name}"
    coexists = bool(attributes.offloads & lib.FL_PORT_KERNEL_COEXISTS) and attributes.interface_index != 0
    is_kernel_mode = coexists if settings.neighbours == "auto" else settings.neighbours == "kernel"
    if is_kernel_mode and not coexists:
        raise TransportError(
            f"{key}.neighbours = \"kernel\", but Linux does not keep the device of transport '{name}'; "
            f'set {key}.neighbours = "own" and {key}.addresses'
        )
    configured = [one for one in ("addresses", "gateway", "routes") if getattr(settings, one)]
    if is_kernel_mode and configured:
        raise TransportError(
            f"{key}.{configured[0]} has no effect: transport '{name}' takes addresses and routes from Linux, which "
            f'keeps its interface; take it out, or set {key}.neighbours = "own"'
        )
    if not is_kernel_mode and not settings.addresses:
        raise TransportError(
            f"transport '{name}' has no address: Linux does not keep its device; "
            f'set {key}.addresses, such as ["10.1.0.5/24"]'
        )
    return is_kernel_mode


def _interface(name: str, settings: PortSettings, attributes: _Attributes) -> Link:
    """Return the interface that has the addresses: the port's, or the VLAN's on it."""
    requests = NetlinkRequests()
    try:
        links = requests.links()
    finally:
        requests.close()
    by_index = {link.index: link for link in links}
    below = by_index.get(attributes.interface_index)
    if below is None:
        raise TransportError(
            f"transport '{name}': there is no interface with index {attributes.interface_index} in this network "
            "namespace; start the driver in the one that the interface is in"
        )
    if settings.vlan in (None, below.vlan):
        return below
    for link in links:
        if link.parent == below.index and link.vlan == settings.vlan:
            return link
    tagged = f"{below.name}.{settings.vlan}"
    raise TransportError(
        f"transport.{name}.vlan = {settings.vlan}: there is no such VLAN interface to take addresses from; "
        f"make it: ip link add link {below.name} name {tagged} type vlan id {settings.vlan}"
    )


def _config(name: str, settings: PortSettings, interface: Link | None, mtu: int) -> Any:
    config = ffi.new("fl_netstack_config_t *")
    config.mode = lib.FL_NETSTACK_OWN if interface is None else lib.FL_NETSTACK_KERNEL
    config.flags = lib.FL_NETSTACK_LEAVE_OPEN | (0 if settings.udp_checksum else lib.FL_NETSTACK_NO_UDP_CHECKSUM)
    config.vlan = _UNTAGGED if settings.vlan is None else settings.vlan
    config.mtu_length = mtu
    config.neighbour_capacity = settings.neighbour_capacity
    config.name = name.encode()[: len(config.name) - 1]
    if interface is not None:
        config.interface_index = interface.index
        config.interface_name = interface.name.encode()
    return config


def _capabilities(port: Transport, attributes: _Attributes, ops: Any, mtu: int) -> Capabilities:
    """Return what port and netstack can do together."""
    able = port.capabilities
    native: Any = port.native
    port_ops = ffi.cast("fl_port_ops_t *", native.ops)
    return replace(
        able,
        zero_copy_tx=able.zero_copy_tx
        and bool(attributes.offloads & lib.FL_PORT_TX_PAYLOAD)
        and ops.register_memory != ffi.NULL,
        hardware_timestamps=able.hardware_timestamps and bool(attributes.offloads & lib.FL_PORT_RX_TIMESTAMP),
        multicast=able.multicast and port_ops.join_group != ffi.NULL,
        steering=bool(attributes.offloads & lib.FL_PORT_STEERING),
        kernel_coexists=bool(attributes.offloads & lib.FL_PORT_KERNEL_COEXISTS),
        queues=int(ops.queues),
        max_datagram=mtu - _HEADERS,
        max_datagram_ipv6=mtu - _HEADERS_IPV6,
        segmentation_offload=False,
        can_arm=able.can_arm and port_ops.arm != ffi.NULL,
        loops_back=False,  # datagrams to this host's addresses are left to the kernel's stack
    )


def _log(host: NativeHost) -> FeedLog:
    def write(level: int) -> Callable[[str], None]:
        return lambda text: host.table.log(host.table, level, text.encode())

    return FeedLog(note=write(lib.FL_LOG_INFO), warn=write(lib.FL_LOG_WARNING))
