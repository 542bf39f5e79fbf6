"""A cheap look at sysfs: for which of the known device transports is there hardware?

It decides only whether a transport that nobody configured is worth a probe. The ids are those of ``bypass-apis`` 1.4,
2.3, 2.8 and 3.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["find_hardware"]

_SOLARFLARE = 0x1924
_XILINX = 0x10EE
_AMD = 0x1022
_MELLANOX = 0x15B3

_SOLARFLARE_DEVICES = frozenset(
    {0x0903, 0x1903, 0x0923, 0x1923, 0x0A03, 0x1A03, 0x0B03, 0x1B03, 0x0C03, 0x1C03, 0x2C03, 0x3C03}
)
_EFVI_OTHERS = frozenset({(_XILINX, 0x0100), (_XILINX, 0x1100), (_XILINX, 0x5084), (_AMD, 0x1190)})

#: Kernel drivers that give a network device to a program as a whole.
_USER_SPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})
#: Kernel drivers that DPDK shares the device with.
_BIFURCATED_DRIVERS = frozenset({"mlx4_core", "mlx5_core", "mana"})
_NETWORK_CLASS = 0x02


@dataclass(frozen=True)
class _PciDevice:
    address: str
    vendor: int
    device: int
    pci_class: int
    driver: str
    interfaces: tuple[str, ...]

    @property
    def label(self) -> str:
        names = ", ".join(self.interfaces)
        return f"{self.address} ({names})" if names else self.address


def find_hardware(sys_root: Path = Path("/sys")) -> dict[str, tuple[str, ...]]:
    """Return the devices found per transport, such as ``{"efvi": ("0000:03:00.0 (eth2)",)}``.

    ``xdp`` works on any interface and ``sockets`` needs none, so neither is ever here.
    """
    found: dict[str, list[str]] = {}
    rdma = _rdma_devices(sys_root)
    for device in _pci_devices(sys_root):
        if _is_efvi(device):
            found.setdefault("efvi", []).append(device.label)
        if _is_dpdk(device):
            found.setdefault("dpdk", []).append(device.label)
        if device.vendor == _MELLANOX and device.driver in ("mlx4_core", "mlx5_core") and device.address in rdma:
            found.setdefault("vma", []).append(device.label)
    return {name: tuple(labels) for name, labels in found.items()}


def _is_efvi(device: _PciDevice) -> bool:
    if device.vendor == _SOLARFLARE:
        return device.driver == "sfc" and device.device in _SOLARFLARE_DEVICES
    return (device.vendor, device.device) in _EFVI_OTHERS and device.driver in ("sfc", "xilinx_efct")


def _is_dpdk(device: _PciDevice) -> bool:
    if device.driver in _BIFURCATED_DRIVERS:
        return bool(device.interfaces)
    return device.driver in _USER_SPACE_DRIVERS and device.pci_class >> 16 == _NETWORK_CLASS


def _rdma_devices(sys_root: Path) -> set[str]:
    directory = sys_root / "class" / "infiniband"
    return {(entry / "device").resolve().name for entry in _entries(directory)}


def _pci_devices(sys_root: Path) -> Iterator[_PciDevice]:
    for entry in _entries(sys_root / "bus" / "pci" / "devices"):
        try:
            yield _PciDevice(
                address=entry.name,
                vendor=int((entry / "vendor").read_text(), 16),
                device=int((entry / "device").read_text(), 16),
                pci_class=int((entry / "class").read_text(), 16),
                driver=(entry / "driver").resolve().name if (entry / "driver").exists() else "",
                interfaces=tuple(interface.name for interface in _entries(entry / "net")),
            )
        except (OSError, ValueError):  # it went away, or is no ordinary device
            continue


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
