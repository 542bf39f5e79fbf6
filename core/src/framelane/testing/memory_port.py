"""Ports in memory, and netstacks over them: frames go in and out as bytes, or two ports are each other's far end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_interface, ip_network
from typing import Any

from framelane._native import ffi, lib
from framelane.transport.address import Address
from framelane.transport.native import NativeHost, OpenTransport, raise_native
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["Faults", "MemoryPort", "Sent", "Totals"]

NO_LIMIT = 2**32 - 1
UNTAGGED = 0xFFFF


@dataclass(frozen=True)
class Faults:
    """What goes wrong at a port; see ``fl_memory_port_faults_t``."""

    tx_alloc_limit: int = NO_LIMIT
    tx_burst_limit: int = NO_LIMIT
    is_removed: bool = False
    checksum: int = 0
    takes_vlan: bool = False
    clock: int = 0
    holds_completions: bool = False
    loses_transmitted: bool = False
    repeats_received: bool = False


@dataclass(frozen=True)
class Totals:
    """Where frames are; see ``fl_memory_port_totals_t``."""

    injected: int
    delivered: int
    released: int
    held: int
    most_held: int
    overflows: int
    filtered: int
    allocated: int
    freed: int
    transmitted: int
    outstanding: int
    bursts: int
    double_releases: int
    late_calls: int
    bad_frames: int


@dataclass(frozen=True)
class Sent:
    """A transmitted frame."""

    data: bytes
    queue: int
    flags: int  #: ``FL_TX_*`` that were asked for, and are carried out
    payload_length: int  #: of the bytes, those that stood behind the payload pointer


class MemoryPort:
    """A port; :meth:`open_netstack` turns it into a transport, whose ``close`` frees it.

    :param mac: its address, ``02:00:00:00:00:01``.
    :param options: further fields of ``fl_memory_port_config_t``.
    """

    def __init__(self, mac: str = "02:00:00:00:00:01", *, clock: Any = None, seed: int = 0, **options: int) -> None:
        self.mac = mac
        self.host = NativeHost(clock, seed)
        config = ffi.new("fl_memory_port_config_t *", options)
        config.mac = bytes.fromhex(mac.replace(":", ""))
        self.mtu_length = config.mtu_length or 1500
        self.offloads = int(config.offloads)
        self.native = lib.fl_memory_port_new(config, self.host.table)
        if self.native == ffi.NULL:
            self.host.close()
            raise_native(-lib.FL_EINVAL, "memory port")
        self._frame = ffi.new("uint8_t[]", 65536)

    def open_netstack(
        self,
        addresses: Sequence[str],
        *,
        routes: Sequence[tuple[str, str]] = (),
        mode: int = lib.FL_NETSTACK_OWN,
        vlan: int = UNTAGGED,
        flags: int = 0,
        queues: int = 0,
        name: str = "memory",
        **options: int,
    ) -> OpenTransport:
        """Open a netstack over the port and start it.

        :param addresses: of the interface, with prefix length.
        :param routes: destination network and gateway.
        :param options: further fields of ``fl_netstack_config_t``.
        :raises NativeError: if the netstack refuses.
        """
        config = ffi.new("fl_netstack_config_t *", options)
        config.mode, config.vlan, config.flags, config.name = mode, vlan, flags, name.encode()
        netstack = lib.fl_netstack_open(lib.fl_memory_port_ops(), self.native, config, self.host.table, queues)
        if netstack == ffi.NULL:
            raise_native(-lib.FL_EINVAL, "fl_netstack_open")
        self.netstack = netstack
        self.set_addresses(addresses)
        self.set_routes(routes)
        ops = lib.fl_netstack_ops(netstack)
        native = NativeTransport(int(ffi.cast("uintptr_t", ops)), int(ffi.cast("uintptr_t", netstack)))
        capabilities = Capabilities(
            zero_copy_rx=True,
            zero_copy_tx=bool(self.offloads & lib.FL_PORT_TX_PAYLOAD),
            multicast=True,
            ipv6=True,
            steering=bool(self.offloads & lib.FL_PORT_STEERING),
            kernel_coexists=mode == lib.FL_NETSTACK_KERNEL,
            queues=int(ops.queues),
            max_datagram=(config.mtu_length or self.mtu_length) - 28,
            can_arm=True,
            loops_back=bool(self.offloads & lib.FL_PORT_LOOPS_BACK),
        )
        return OpenTransport(name, native, capabilities, self.host)

    def set_addresses(self, addresses: Sequence[str]) -> None:
        """Replace the addresses of the netstack's interface."""
        native = ffi.new("fl_interface_address_t[]", max(1, len(addresses)))
        for target, text in zip(native, addresses, strict=False):
            interface = ip_interface(text)
            Address.of(str(interface.ip)).store(target.address)
            target.prefix_length = interface.network.prefixlen
        status = lib.fl_netstack_set_addresses(self.netstack, native, len(addresses))
        if status < 0:
            raise_native(status, "fl_netstack_set_addresses")

    def set_routes(self, routes: Sequence[tuple[str, str]]) -> None:
        """Replace the routes, each a destination network and a gateway."""
        native = ffi.new("fl_netstack_route_t[]", max(1, len(routes)))
        for target, (network, gateway) in zip(native, routes, strict=False):
            Address.of(str(ip_network(network).network_address)).store(target.network)
            Address.of(gateway).store(target.gateway)
            target.prefix_length = ip_network(network).prefixlen
        status = lib.fl_netstack_set_routes(self.netstack, native, len(routes))
        if status < 0:
            raise_native(status, "fl_netstack_set_routes")

    def set_neighbour(self, address: str, mac: str, state: int) -> None:
        """Feed a line of the neighbour table; kernel mode."""
        native = ffi.new("fl_netstack_neighbour_t *")
        Address.of(address).store(native.address)
        native.mac = bytes.fromhex(mac.replace(":", ""))
        native.state = state
        status = lib.fl_netstack_set_neighbour(self.netstack, native)
        if status < 0:
            raise_native(status, "fl_netstack_set_neighbour")

    def wishes(self) -> list[str]:
        """Take the next hops that pollers want; kernel mode."""
        native = ffi.new("fl_address_t[]", 64)
        count = lib.fl_netstack_wishes(self.netstack, native, 64)
        found = [Address.from_native(native[i]) for i in range(count)]
        return [str(address.ip) for address in found if address is not None]

    def connect(self, other: MemoryPort) -> None:
        """Make the other port the far end of this one."""
        lib.fl_memory_port_connect(self.native, other.native)

    def inject(self, frame: bytes, queue: int = 0) -> None:
        """Let a frame arrive.

        :raises NativeError: if there is no room, or the frame is too long.
        """
        status = lib.fl_memory_port_inject(self.native, queue, frame, len(frame))
        if status < 0:
            raise_native(status, "fl_memory_port_inject")

    def take(self) -> Sent | None:
        """Take the oldest frame that was transmitted, if there is one."""
        sent = ffi.new("fl_memory_port_sent_t *")
        length = lib.fl_memory_port_take(self.native, self._frame, len(self._frame), sent)
        if length == 0:
            return None
        return Sent(bytes(ffi.buffer(self._frame, length)), sent.queue, sent.flags, sent.payload_length)

    def take_all(self) -> list[bytes]:
        """Take all frames that were transmitted."""
        return [sent.data for sent in iter(self.take, None)]

    def set_faults(self, faults: Faults) -> None:
        """Let things go wrong from now on."""
        native = ffi.new("fl_memory_port_faults_t *")
        for field in fields(faults):
            setattr(native, field.name, int(getattr(faults, field.name)))
        lib.fl_memory_port_set_faults(self.native, native)

    def set_link(self, *, is_up: bool) -> None:
        """Let the link go up or down."""
        lib.fl_memory_port_set_link(self.native, is_up)

    def totals(self) -> Totals:
        """Return where frames are, and what was done wrong with them."""
        native = ffi.new("fl_memory_port_totals_t *")
        lib.fl_memory_port_totals(self.native, native)
        return Totals(**{field.name: int(getattr(native, field.name)) for field in fields(Totals)})

    def filters(self) -> list[tuple[Address, int]]:
        """Return the filters that are set, each an address and a queue."""
        addresses, queues = ffi.new("fl_address_t[]", 4096), ffi.new("uint32_t[]", 4096)
        count = lib.fl_memory_port_filters(self.native, addresses, queues, 4096)
        found = [(Address.from_native(addresses[i]), int(queues[i])) for i in range(count)]
        return [(address, queue) for address, queue in found if address is not None]

    def groups(self) -> list[str]:
        """Return the groups that are joined, as often as they are."""
        groups = ffi.new("fl_address_t[]", 512)
        count = lib.fl_memory_port_groups(self.native, groups, 512)
        found = [Address.from_native(groups[i]) for i in range(count)]
        return [str(address.ip) for address in found if address is not None]
