"""A machine made of files: a sysfs tree that a few lines of kernel react on, and a network that remembers.

It shows which writes are made, in which order. What a kernel does with them is shown in tests/vm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from framelane.netstack.routes import Interface, IpAddress, Route
from framelane_dpdk.linux_interface import LinuxAddress, LinuxInterface, LinuxRoute
from framelane_dpdk.machine import Machine
from framelane_dpdk.pci import PciDevice, read_device

BOOT_ID = "8c1f2a34-0000-4000-8000-0123456789ab"


@dataclass
class NoRoutes:
    """Nothing is reached through any interface, but the peers that are named."""

    through: dict[str, str] = field(default_factory=dict)

    def route_to(self, address: IpAddress, *, interface_index: int = 0) -> Route | None:
        interface = self.through.get(str(address))
        return Route(interface, 2) if interface else None

    def interfaces(self) -> list[Interface]:
        return []


@dataclass
class MadeUpNetwork:
    interfaces: dict[str, LinuxInterface] = field(default_factory=dict)
    configured: list[LinuxInterface] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    routes: NoRoutes = field(default_factory=NoRoutes)

    def index_of(self, name: str) -> int:
        return 2

    def capture(self, name: str, *, pci_address: str, driver: str, boot_id: str) -> LinuxInterface:
        return self.interfaces[name]

    def configure(self, saved: LinuxInterface, current_name: str, *, report: Callable[[str], None]) -> list[str]:
        self.configured.append(saved)
        return self.problems


class MadeUpMachine:
    """Builds the tree. Pass :attr:`machine` on, and :meth:`react` as the report of steps."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.proc = root / "sys", root / "proc"
        self.network = MadeUpNetwork()
        self.machine = Machine(self.network, self.sysfs, self.proc)
        self.steps: list[str] = []
        self._write(self.proc / "sys/kernel/random/boot_id", BOOT_ID)
        self._write(self.proc / "self/mounts", "none /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n")
        self._write(self.sysfs / "module/vfio_iommu_type1/refcnt", "0")
        self._write(self.sysfs / "module/vfio/refcnt", "0")
        self.add_driver("vfio-pci")

    def add_driver(self, name: str) -> None:
        for file in ("bind", "unbind"):
            self._write(self.sysfs / "bus/pci/drivers" / name / file, "")

    def add(
        self,
        address: str,
        driver: str | None = "e1000e",
        interface: str | None = None,
        *,
        group: int | None = 7,
        pci_class: int = 0x020000,
    ) -> PciDevice:
        """Add a device, with a configured interface if it has a name."""
        path = self.sysfs / "bus/pci/devices" / address
        files = {"vendor": "0x8086", "device": "0x10d3", "class": f"0x{pci_class:06x}", "numa_node": "1"}
        for name, text in (files | {"driver_override": "(null)"}).items():
            self._write(path / name, text + "\n")
        if group is not None:
            directory = self.sysfs / "kernel/iommu_groups" / str(group)
            (directory / "devices").mkdir(parents=True, exist_ok=True)
            (directory / "devices" / address).symlink_to(path)
            (path / "iommu_group").symlink_to(directory)
        if driver is not None:
            self.add_driver(driver)
            (path / "driver").symlink_to(self.sysfs / "bus/pci/drivers" / driver)
        if interface is not None:
            (path / "net" / interface).mkdir(parents=True)
            self.network.interfaces[interface] = LinuxInterface(
                pci_address=address,
                driver=driver or "",
                name=interface,
                mac="02:00:00:00:00:01",
                mtu=9000,
                is_up=True,
                addresses=(LinuxAddress("10.1.0.5/24"), LinuxAddress("fe80::5/64", scope=253)),
                routes=(LinuxRoute("10.2.0.0/16", gateway="10.1.0.9"),),
                boot_id=BOOT_ID,
            )
        return self.device(address)

    def device(self, address: str) -> PciDevice:
        found = read_device(self.sysfs, address)
        assert found is not None
        return found

    def react(self, step: str) -> None:
        """Do what the kernel would after a step: bind and unbind as the files say."""
        self.steps.append(step)
        for directory in (self.sysfs / "bus/pci/drivers").iterdir():
            for name in ("unbind", "bind"):
                file = directory / name
                address = file.read_text() if file.exists() else ""
                if not address:
                    continue
                file.write_text("")
                link = self.sysfs / "bus/pci/devices" / address / "driver"
                if name == "unbind":
                    link.unlink()
                elif (link.parent / "driver_override").read_text().strip("\0\n") in (directory.name, "", "(null)"):
                    link.symlink_to(directory)

    def text(self, path: str) -> str:
        """Return what a file below sysfs holds."""
        return (self.sysfs / path).read_text()

    def hold(self, file: str, pid: int, program: str) -> None:
        """Let a process have a file open."""
        self._write(self.proc / str(pid) / "comm", program + "\n")
        (self.proc / str(pid) / "fd").mkdir()
        (self.proc / str(pid) / "fd/3").symlink_to(file)

    def add_socket(self, table: str, local: str, remote: str, state: str, inode: int = 99) -> None:
        """Add a line to a table of ``/proc/net``; addresses as it shows them."""
        line = f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
        path = self.proc / "net" / table
        self._write(path, (path.read_text() if path.exists() else "  sl  local_address rem_address   st\n") + line)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
