"""The frame-transport hook specification: what a plugin declares and what it is given.

A plugin is a module behind an entry point of the group ``framelane.transports`` with the hooks of
:class:`TransportHooks`. The native half of the contract is in the headers of ``framelane-abi``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import pluggy
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from framelane.transport.arrangement import Arrangement

__all__ = [
    "ENTRY_POINT_GROUP",
    "Capabilities",
    "Device",
    "Fact",
    "Level",
    "NativeTransport",
    "Obstacle",
    "OpenContext",
    "Transport",
    "TransportHooks",
    "TransportSettings",
    "TransportSpec",
    "Verdict",
    "hookimpl",
    "hookspec",
]

ENTRY_POINT_GROUP = "framelane.transports"

hookspec = pluggy.HookspecMarker("framelane")
#: Marks a plugin's hook implementations.
hookimpl = pluggy.HookimplMarker("framelane")


class Level(enum.StrEnum):
    """Which contract a transport fulfils."""

    DATAGRAM = "datagram"  #: ``transport.h``: moves UDP datagrams
    PORT = "port"  #: ``port.h``: moves Ethernet frames; the driver's netstack does the rest
    PYTHON = "python"  #: a Python class; for prototypes and tests, slow


class TransportSettings(BaseModel):
    """Base of a plugin's settings model, the table ``[transport.NAME]`` of the configuration file.

    Unknown keys are errors. Every field has a default: a model made from nothing describes the transport as it is
    without configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Names of the environment, and properties alike, that set a field besides the table: ``AERON_MINE_MTU`` to the
    #: field ``mtu``, or to a key of the driver, ``driver.user``. They are known while the plugin is installed.
    environment: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True)
class Capabilities:
    """What a transport can do. The conformance kit checks what is declared; what is not declared is not tried."""

    zero_copy_rx: bool = False
    zero_copy_tx: bool = False  #: ``register_memory`` and ``FL_RUN_HOLD`` work
    hardware_timestamps: bool = False
    multicast: bool = False
    ipv6: bool = False
    steering: bool = False
    kernel_coexists: bool = True
    queues: int = 1  #: most pollers at once; 0 is no limit
    max_datagram: int = 65507  #: longest datagram, bytes of UDP payload
    segmentation_offload: bool = False  #: runs are cut below this process
    can_arm: bool = False  #: ``arm`` gives a descriptor to sleep on
    loops_back: bool = False  #: datagrams to its own addresses come back to it
    needs_privilege: bool = False
    max_datagram_ipv6: int | None = None  #: as ``max_datagram``, over IPv6; ``None``: no less than that

    def longest_datagram(self, ip_version: int) -> int:
        """Return the longest datagram over a version of IP, bytes of UDP payload."""
        if ip_version == 6 and self.max_datagram_ipv6 is not None:
            return self.max_datagram_ipv6
        return self.max_datagram


@dataclass(frozen=True)
class Fact:
    """One thing that a probe found: ``Fact("kernel", "6.1.0")``."""

    name: str
    value: str


@dataclass(frozen=True)
class Obstacle:
    """Why a transport, or a part of it, cannot be used."""

    asked: str  #: what was needed
    found: str  #: what is there instead
    where: str  #: where it was looked for
    next: str  #: what the user can do


@dataclass(frozen=True)
class Device:
    """A device that a transport can open, and what is reached through it; selection compares it with the route.

    :raises ValueError: if an address or a network is none.
    """

    name: str  #: as the transport's settings name it: ``eth2``, ``0000:03:00.0``, ``net_memif0``
    interface: str | None = None  #: the kernel's interface that it is or shares; its routes are then the kernel's
    #: A device that the kernel does not have: its own addresses with prefix length, ``10.1.0.5/24``.
    addresses: tuple[str, ...] = ()
    #: A device that the kernel does not have: networks behind its gateways, ``10.0.0.0/8``.
    reaches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for address in self.addresses:
            ip_interface(address)
        for network in self.reaches:
            ip_network(network)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a probe.

    *Usable* means that the library loads and at least one device that it can open is present or configured. A usable
    transport may have obstacles too: they say which part of it cannot be used.
    """

    usable: bool
    capabilities: Capabilities = field(default_factory=Capabilities)
    facts: tuple[Fact, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    #: What it can open. ``None`` is for a transport above the kernel's stack: it serves whatever the host routes to,
    #: and binds to the wildcard address.
    devices: tuple[Device, ...] | None = None


@dataclass(frozen=True)
class NativeTransport:
    """Addresses of a native transport: separately compiled modules share no symbols, so pointers cross as integers."""

    ops: int  #: ``fl_transport_ops_t *``, or ``fl_port_ops_t *`` at port level
    object: int  #: ``fl_transport_t *``, or ``fl_port_t *``


@dataclass(frozen=True)
class OpenContext:
    """What ``open`` gets besides the settings."""

    host: int  #: address of the ``fl_host_t`` table; it outlives the transport
    driver_name: str  #: for names that a device shows, such as a thread's or a memory file's


@runtime_checkable
class Transport(Protocol):
    """An open transport. The driver keeps it until every agent has let go."""

    @property
    def native(self) -> NativeTransport | None:
        """The native half; ``None`` at level ``python``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this opened device can do; may be less than the probe said."""
        ...

    def close(self) -> None:
        """Close the device. Called once, on the control thread, after the last endpoint and poller were closed.

        The host calls nothing but this: a native transport calls its ops table's ``close`` here and then frees what
        Python holds. At level ``port`` the netstack was closed before, and left the port open for this.

        :raises TransportError: if something is still open; nothing is closed then.
        """
        ...


@dataclass(frozen=True)
class TransportSpec:
    """What a plugin provides."""

    name: str  #: as in ``transport.use``: lower case letters, digits and hyphens, beginning with a letter
    summary: str  #: one line
    abi_version: int  #: ``framelane_abi.ABI_VERSION`` of the headers that it was written against
    level: Level
    settings: type[TransportSettings]
    #: ``probe(settings)``: look, do not open. Runs in a child process with a limit of 2 s. Never raises for an absent
    #: device or library: that is an obstacle.
    probe: Callable[[Any], Verdict]
    #: ``open(settings, context)``: open the device, or raise :class:`framelane.errors.TransportError`.
    open: Callable[[Any, OpenContext], Transport]


class TransportHooks:
    """The hooks. Arguments are keywords and are only ever added."""

    @hookspec
    def framelane_transport(self) -> TransportSpec:  # type: ignore[empty-body]
        """Describe the frame transport that this plugin provides.

        Called once, during discovery, on the main thread. Must not load native code, open a device, or log. Return a
        new descriptor on each call.

        :returns: name, ABI version, level, settings model, ``probe`` and ``open``.
        :raises Exception: recorded against the plugin; discovery continues.
        """

    @hookspec
    def framelane_register_commands(self, app: typer.Typer) -> None:
        """Add sub-commands to the command line, such as ``framelane dpdk bind``.

        Called at the start of the ``framelane`` command, on the main thread. Must be cheap.

        :raises Exception: logged as a warning with the plugin's name; the other commands work.
        """

    @hookspec
    def framelane_bench(self, directory: Path) -> Sequence[Arrangement]:  # type: ignore[empty-body]
        """Say how two ends of this transport are put up on one machine for ``framelane bench frames``.

        Called on the main thread of the command and of its worker processes, with the same answer expected from each.
        Must be cheap and open nothing. A transport above the kernel's stack leaves it out: it is measured against
        system calls.

        :param directory: of this benchmark, empty at first, for sockets and the like; the same in every process.
        :returns: the arrangements to measure.
        :raises Exception: ends the benchmark.
        """

    @hookspec
    def framelane_driver_started(self, driver: object) -> None:
        """Called on the control thread when the driver serves clients.

        :raises Exception: recorded in the error log; the driver goes on.
        """

    @hookspec
    def framelane_driver_stopping(self, driver: object) -> None:
        """Called on the control thread before the agents stop.

        :raises Exception: recorded in the error log; the driver goes on closing.
        """
