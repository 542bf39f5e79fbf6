"""Who uses an interface or a device: sockets, programs, interfaces that stand on it.

Sockets are those of this network namespace. Control plane only; reads procfs, sysfs and routes, and writes nothing.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from framelane.netstack.open_files import Program, programs_with, socket_owners
from framelane.netstack.routes import IpAddress, Routes

__all__ = ["Socket", "addresses_of", "device_holders", "interface_index", "sockets_on"]

_TIME_WAIT = 0x06
_CLOSE = 0x07
_LISTEN = 0x0A


@dataclass(frozen=True)
class Socket:
    """A socket and who has it."""

    kind: str  #: ``tcp``, ``udp`` or ``packet``
    local: str
    remote: str | None  #: ``None``: not connected
    owner: str  #: such as ``sshd (pid 812)``, empty if it cannot be seen

    @property
    def text(self) -> str:
        what = f"{self.kind} {self.local}" + (f" connected to {self.remote}" if self.remote else "")
        return f"{what}, {self.owner}" if self.owner else what


@dataclass(frozen=True)
class _Row:
    kind: str
    local: IpAddress
    local_port: int
    remote: IpAddress
    remote_port: int
    state: int
    inode: int

    @property
    def is_connected(self) -> bool:
        return self.remote_port != 0 and self.state != _LISTEN


def sockets_on(
    interface: str, index: int, addresses: Collection[IpAddress], *, proc: Path, routes: Routes
) -> list[Socket]:
    """Return the sockets that lose their network with an interface: bound to one of its addresses, or connected to a
    peer that is reached through it, or packet sockets on it. Those that listen on every address are none of them.

    :param index: that of the interface.
    :param addresses: those of the interface, link-local ones among them.
    """
    through: dict[IpAddress, bool] = {}

    def leads_through(peer: IpAddress) -> bool:
        if peer not in through:
            route = routes.route_to(peer)
            through[peer] = route is not None and route.interface == interface and not route.is_local
        return through[peer]

    found = [
        row
        for row in _rows(proc)
        if row.local in addresses or (row.is_connected and not row.remote.is_loopback and leads_through(row.remote))
    ]
    packets = list(_packet_sockets(proc, index))
    owners = socket_owners({row.inode for row in found} | set(packets), proc)
    sockets = [
        Socket(
            row.kind,
            _endpoint(row.local, row.local_port),
            _endpoint(row.remote, row.remote_port) if row.is_connected else None,
            _text(owners.get(row.inode)),
        )
        for row in found
    ]
    return sockets + [Socket("packet", interface, None, _text(owners.get(inode))) for inode in packets]


def device_holders(
    sysfs: Path,
    proc: Path,
    pci_address: str,
    iommu_group: int,
    *,
    without: Collection[int] = (),
    limit_s: float | None = None,
) -> list[str]:
    """Return the programs that hold a device through vfio, such as ``framelane (pid 71)``.

    :param without: processes that are not meant.
    :param limit_s: stop looking after so long.
    """
    files = {f"/dev/vfio/{iommu_group}", f"/dev/vfio/noiommu-{iommu_group}"}
    directory = sysfs / "bus/pci/devices" / pci_address / "vfio-dev"
    if directory.is_dir():
        files |= {f"/dev/vfio/devices/{entry.name}" for entry in directory.iterdir()}
    holders = {program.pid: program for _, program in programs_with(files, proc, limit_s)}
    return [_text(holders[pid]) for pid in sorted(set(holders) - set(without))]


def _rows(proc: Path) -> Iterator[_Row]:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in _lines(proc / "net" / name):
            words = line.split()
            local, local_port = _parse(words[1])
            remote, remote_port = _parse(words[2])
            row = _Row(name[:3], local, local_port, remote, remote_port, int(words[3], 16), int(words[9]))
            if row.kind == "tcp" and row.state in (_TIME_WAIT, _CLOSE):
                continue
            yield row


def _packet_sockets(proc: Path, index: int) -> Iterator[int]:
    for line in _lines(proc / "net/packet"):
        words = line.split()
        if int(words[4]) == index:
            yield int(words[8])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()[1:]
    except OSError:  # no IPv6, or no packet sockets, in this kernel
        return []


def _parse(text: str) -> tuple[IpAddress, int]:
    """Return address and port of a column, which shows an address as words in this machine's byte order."""
    digits, _, port = text.partition(":")
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    if len(packed) == 4:
        return IPv4Address(packed), int(port, 16)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address, int(port, 16)


def _endpoint(address: IpAddress, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _text(program: Program | None) -> str:
    if program is None:
        return ""
    return f"{program.command} (pid {program.pid})" if program.command else f"pid {program.pid}"


def interface_index(name: str) -> int:
    """Return the index of an interface of this network namespace; 0 if there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def addresses_of(texts: Collection[str]) -> set[IpAddress]:
    """Return the addresses of texts with or without prefix length."""
    return {ip_address(text.partition("/")[0]) for text in texts}
