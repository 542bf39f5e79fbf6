"""Adapters as trees of files.

The trees are constructed from the PCI ids, attribute names and formats of ``bypass-apis`` 1.3 and 1.4 and of the
kernel's sysfs documentation (``sysfs-class-net``, ``sysfs-bus-pci``). No adapter was at hand to take them from.
"""

from __future__ import annotations

from pathlib import Path

from framelane.transport import Verdict
from framelane_efvi.adapters import Machine

ADDRESS = "0000:3b:00.0"


def add_interface(
    root: Path, name: str, vendor: int, device: int, driver: str, *, address: str = ADDRESS, **attributes: int
) -> None:
    """Add a PCI network device with its interface."""
    entry = root / "sys/bus/pci/devices" / address
    interface = entry / "net" / name
    interface.mkdir(parents=True)
    for file, text in (("vendor", f"0x{vendor:04x}"), ("device", f"0x{device:04x}"), ("class", "0x020000")):
        (entry / file).write_text(f"{text}\n")
    (entry / "numa_node").write_text(f"{attributes.get('numa_node', 0)}\n")
    for file, value in {"carrier": 1, "speed": 10000, "mtu": 1500, **attributes}.items():
        (interface / file).write_text(f"{value}\n")
    (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (entry / "driver").symlink_to(root / "sys/bus/pci/drivers" / driver)
    (interface / "device").symlink_to(entry)
    (root / "sys/class/net").mkdir(parents=True, exist_ok=True)
    (root / "sys/class/net" / name).symlink_to(interface)


def machine(root: Path, *, has_device: bool = True) -> Machine:
    (root / "sys/class/net").mkdir(parents=True, exist_ok=True)
    device = root / "sfc_char"
    if has_device:
        device.touch()
    return Machine(root / "sys", device, lambda _: "8.3.3.1000 rx0 tx0")


def facts_of(verdict: Verdict) -> dict[str, str]:
    return {fact.name: fact.value for fact in verdict.facts}
