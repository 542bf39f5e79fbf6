"""The adapters that VMA can use, as sysfs shows them (bypass-apis 3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RdmaDevice", "find_devices"]

_MELLANOX = 0x15B3
_DRIVERS = frozenset({"mlx4_core", "mlx5_core"})


@dataclass(frozen=True)
class RdmaDevice:
    """An RDMA device of a ConnectX or BlueField adapter."""

    name: str  #: ``mlx5_0``
    interfaces: tuple[str, ...]  #: kernel interfaces on the same function
    pci_address: str
    device_id: int
    driver: str  #: ``mlx5_core``
    firmware: str  #: empty if it does not say
    numa_node: int  #: -1: none in particular
    has_verbs: bool  #: the kernel offers it to programs, through ib_uverbs

    def __str__(self) -> str:
        where = f"{self.name}, {self.driver}, PCI {self.pci_address} (0x15b3:0x{self.device_id:04x})"
        where += f", firmware {self.firmware}" if self.firmware else ""
        where += f", NUMA node {self.numa_node}" if self.numa_node >= 0 else ""
        return f"{where}, interface {', '.join(self.interfaces) or 'none'}"


def find_devices(sys_root: Path = Path("/sys")) -> list[RdmaDevice]:
    """Return the RDMA devices that are NVIDIA's, in order of name."""
    verbs = {(entry / "device").resolve() for entry in _entries(sys_root / "class/infiniband_verbs")}
    found = []
    for entry in _entries(sys_root / "class/infiniband"):
        device = (entry / "device").resolve()
        driver = (device / "driver").resolve().name if (device / "driver").exists() else ""
        if _number(device / "vendor") != _MELLANOX or driver not in _DRIVERS:
            continue
        found.append(
            RdmaDevice(
                name=entry.name,
                interfaces=tuple(one.name for one in _entries(device / "net")),
                pci_address=device.name,
                device_id=_number(device / "device"),
                driver=driver,
                firmware=_text(entry / "fw_ver"),
                numa_node=_number(device / "numa_node", 10, -1),
                has_verbs=device in verbs,
            )
        )
    return found


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path, base: int = 16, absent: int = 0) -> int:
    try:
        return int(_text(path), base)
    except ValueError:
        return absent
