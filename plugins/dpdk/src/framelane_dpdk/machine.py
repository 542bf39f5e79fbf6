"""The parts of a machine that binding reads and changes, passed in so that a made-up one serves as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from framelane.netstack.routes import NetlinkRoutes, Routes
from framelane_dpdk import linux_interface
from framelane_dpdk.in_use import interface_index
from framelane_dpdk.linux_interface import LinuxInterface

__all__ = ["LinuxNetwork", "Machine", "Network"]


class Network(Protocol):
    """The network configuration of the kernel."""

    @property
    def routes(self) -> Routes: ...
    def index_of(self, name: str) -> int:
        """Return the index of an interface; 0 if there is none."""
        ...

    def capture(self, name: str, *, pci_address: str, driver: str, boot_id: str) -> LinuxInterface:
        """See :func:`framelane_dpdk.linux_interface.capture`."""
        ...

    def configure(self, saved: LinuxInterface, current_name: str, *, report: Callable[[str], None]) -> list[str]:
        """See :func:`framelane_dpdk.linux_interface.configure`."""
        ...


class LinuxNetwork:
    """The :class:`Network` of this network namespace."""

    def __init__(self) -> None:
        self.routes: Routes = NetlinkRoutes()

    def index_of(self, name: str) -> int:
        return interface_index(name)

    def capture(self, name: str, *, pci_address: str, driver: str, boot_id: str) -> LinuxInterface:
        return linux_interface.capture(name, pci_address=pci_address, driver=driver, boot_id=boot_id)

    def configure(self, saved: LinuxInterface, current_name: str, *, report: Callable[[str], None]) -> list[str]:
        return linux_interface.configure(saved, current_name, report=report)


@dataclass(frozen=True)
class Machine:
    """Where sysfs and procfs are, and the network."""

    network: Network
    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")

    @property
    def boot_id(self) -> str:
        """The random name of this run of the kernel."""
        try:
            return (self.proc / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""
