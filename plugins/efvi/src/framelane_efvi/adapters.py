"""Adapters that ef_vi drives, as sysfs shows them (bypass 1.3, 1.4)."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Adapter", "Family", "Machine", "find_adapters", "firmware_of"]

_SIOCETHTOOL = 0x8946
_GET_DRIVER_INFO = 3


@dataclass(frozen=True)
class Family:
    """What an adapter's PCI id says of it."""

    name: str
    has_rings: bool = True  #: receives into buffers that we post, at least on one of its datapaths
    shares_queues: bool = False  #: receives into shared buffers in huge pages, at least on one of its datapaths
    can_transmit: str = "DMA"  #: the quickest way to send
    licence: str = ""


_ONLOAD_KEY = "needs an Onload activation key"
_MERGED = "without an Onload activation key only with merged receive events"

_SFC9100 = Family("SFN7000 (SFC9100)", can_transmit="PIO", licence=_ONLOAD_KEY)
_SFC9200 = Family("SFN8000 (SFC9200)", can_transmit="PIO", licence=_MERGED)
_X2 = Family("X2 (SFC9250)", can_transmit="CTPIO", licence=_MERGED)
_X3 = Family("X3", has_rings=False, shares_queues=True, can_transmit="CTPIO")
_X4 = Family("X4", shares_queues=True, can_transmit="CTPIO")
_X4_ENTERPRISE = Family("X4 (enterprise datapath)", can_transmit="CTPIO")

_FAMILIES = {
    (0x1924, 0x0903): _SFC9100,
    (0x1924, 0x1903): _SFC9100,
    (0x1924, 0x0923): _SFC9100,
    (0x1924, 0x1923): _SFC9100,
    (0x1924, 0x0A03): _SFC9200,
    (0x1924, 0x1A03): _SFC9200,
    (0x1924, 0x0B03): _X2,
    (0x1924, 0x1B03): _X2,
    (0x1924, 0x0C03): _X4,
    (0x1924, 0x1C03): _X4,
    (0x1924, 0x2C03): _X4_ENTERPRISE,
    (0x1924, 0x3C03): _X4_ENTERPRISE,
    (0x1022, 0x1190): _X4,
    (0x10EE, 0x5084): _X3,
}
#: The network drivers that hand virtual interfaces out.
_DRIVERS = frozenset({"sfc", "xilinx_efct"})


def firmware_of(interface: str) -> str | None:
    """Return the firmware's version as the driver tells it, or ``None``."""
    info = array.array("B", struct.pack("=I192x", _GET_DRIVER_INFO))
    address, _ = info.buffer_info()
    request = struct.pack("=16sP16x", interface.encode()[:15], address)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            fcntl.ioctl(asked, _SIOCETHTOOL, request)
    except OSError:
        return None
    version = info.tobytes()[68:100].split(b"\0", 1)[0].decode(errors="replace").strip()
    return version or None


@dataclass(frozen=True)
class Machine:
    """Where the adapters and what belongs to them are looked for."""

    sysfs: Path = Path("/sys")
    device: Path = Path("/dev/sfc_char")  #: through which processes get at ef_vi
    firmware: Callable[[str], str | None] = field(default=firmware_of)


@dataclass(frozen=True)
class Adapter:
    """A network interface of an adapter that ef_vi drives."""

    interface: str
    address: str  #: on the PCI bus
    vendor: int
    device: int
    driver: str
    family: Family
    numa_node: int | None
    has_link: bool
    speed_mbps: int | None
    mtu: int
    firmware: str | None

    @property
    def id(self) -> str:
        """Vendor and device as ``lspci -n`` has them."""
        return f"{self.vendor:04x}:{self.device:04x}"

    @property
    def is_driven(self) -> bool:
        """Whether the kernel's driver for it is one that ef_vi works with."""
        return self.driver in _DRIVERS

    @property
    def link(self) -> str:
        if not self.has_link:
            return "no link"
        return f"up, {self.speed_mbps} Mb/s" if self.speed_mbps else "up"


def find_adapters(machine: Machine) -> tuple[Adapter, ...]:
    """Return the interfaces of known adapters, by name; also of those that another driver has."""
    try:
        entries = sorted((machine.sysfs / "class/net").iterdir())
    except OSError:
        return ()
    return tuple(adapter for entry in entries if (adapter := _read_adapter(machine, entry)) is not None)


def _read_adapter(machine: Machine, entry: Path) -> Adapter | None:
    try:
        vendor, device = (int((entry / "device" / name).read_text(), 16) for name in ("vendor", "device"))
    except (OSError, ValueError):
        return None
    family = _FAMILIES.get((vendor, device))
    if family is None:
        return None
    node = _read_number(entry / "device/numa_node")
    speed = _read_number(entry / "speed")
    driver = entry / "device/driver"
    return Adapter(
        interface=entry.name,
        address=(entry / "device").resolve().name,
        vendor=vendor,
        device=device,
        driver=driver.resolve().name if driver.exists() else "",
        family=family,
        numa_node=node if node is not None and node >= 0 else None,
        has_link=_read_number(entry / "carrier") == 1,
        speed_mbps=speed if speed is not None and speed > 0 else None,
        mtu=_read_number(entry / "mtu") or 0,
        firmware=machine.firmware(entry.name),
    )


def _read_number(path: Path) -> int | None:
    """Return what a file of sysfs holds; some, such as a speed without link, cannot be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
