"""Two hosts whose drivers reach each other over what a test names for each of them.

======================= ===========================================================================================
``sockets``             the kernel's UDP stack, on a veth pair between two namespaces
``xdp``                 AF_XDP on the veth, which stays with Linux
``af_packet``           DPDK on the veth, which stays with Linux
``own af_packet``       DPDK on the veth; the kernel has no address on it, and the driver answers for itself
``af_xdp``              DPDK has the veth's queue, as before
``tap``                 DPDK makes an interface in place of the veth, and the other host has it
``memif``               DPDK over shared memory, both hosts; needs neither root nor namespaces
``vma``                 VMA, over the stand-in for its library: IPv4 and multicast
``efvi MODEL``          ef_vi, over the stand-in for its library, which makes the veth an adapter of that model
======================= ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framelane.driver.verdicts import read_verdicts
from support.built_plugins import ALLOWED, efvi_python
from support.drivers import DriverProcess, start_driver
from support.namespaces import Link, run_in
from support.processes import Processes, wait_until
from support.transfers import ENVIRONMENT, faults
from support.vma import VARIABLE as STAND_IN_OF_VMA
from support.vma import build_stand_in

__all__ = ["KINDS", "LEFT", "RIGHT", "Ends", "channel", "check_served_by", "figures"]

LEFT = ("10.77.0.1", "fd77::1")
RIGHT = ("10.77.0.2", "fd77::2")
KINDS = ("IPv4", "IPv6", "multicast")

_ON_VETH = {
    "af_packet": 'vdev = "net_af_packet"\nvdev_args = { iface = "eth0" }\n',
    "own af_packet": 'vdev = "net_af_packet"\nvdev_args = { iface = "eth0" }\nneighbours = "own"\n',
    "af_xdp": 'vdev = "net_af_xdp"\nvdev_args = { iface = "eth0" }\n',
}
_HAS_OWN_ADDRESSES = {"own af_packet", "af_xdp", "tap", "memif"}


def channel(kind: str, host: tuple[str, str], port: int = 40123) -> str:
    """Return the channel of subscribers on a host."""
    endpoint = {
        "IPv4": f"{host[0]}:{port}",
        "IPv6": f"[{host[1]}]:{port}",
        "multicast": f"224.20.30.39:{port}|interface=10.77.0.0/24",
    }[kind]
    return f"aeron:udp?endpoint={endpoint}"


@dataclass
class Ends:
    """Starts the drivers of both hosts.

    :ivar link: ``None`` for memif.
    :ivar transports: what serves the left host, and the right one.
    :ivar settings: further names of the environment, for both drivers.
    :ivar right: the right host's addresses, elsewhere than in the left one's networks.
    :ivar gateways: of the left host and of the right one, of each family.
    :ivar programs: of the left host and of the right one, in place of ``framelaned``.
    :ivar device: further lines of the table of each device transport.
    """

    processes: Processes
    shared: Path
    link: Link | None
    transports: tuple[str, str]
    mtu: int = 1500
    vlan: int | None = None
    settings: Mapping[str, str] | None = None
    programs: tuple[Path | Sequence[str] | None, Path | Sequence[str] | None] = (None, None)
    right: tuple[str, str] = RIGHT
    gateways: tuple[tuple[str, str], tuple[str, str]] | None = None
    required: bool = True  #: else a device is only the first choice, before sockets
    device: str = ""

    def start(self, loss: float = 0.0, seed: int = 1) -> tuple[DriverProcess, DriverProcess]:
        """Set the network up and start both; ``loss`` is between them, in both directions."""
        self.set_up()
        left = self.start_one("left", loss, seed)
        if self.link is not None and "tap" in self.transports:
            self._set_up_tap(self.link)
        return left, self.start_one("right")

    def start_one(self, side: str, loss: float = 0.0, seed: int = 1) -> DriverProcess:
        """Start a driver whose endpoints are on the transport of its host, or not at all."""
        transport = self.transports[side == "right"]
        settings = faults(loss, seed) | {"AERON_THREADING_MODE": "SHARED_NETWORK"} | dict(self.settings or {})
        if transport == "sockets":
            settings["FRAMELANE_TRANSPORT_USE"] = "sockets"
        else:
            file = self.shared / f"{side}.toml"
            file.write_text(self._configuration(side, transport) + self.device)
            settings["FRAMELANE_CONFIG"] = str(file)
        program = self.programs[side == "right"]
        if transport.startswith("efvi"):
            settings |= ALLOWED | {"FRAMELANE_CIUL": f"eth0 model={transport.split()[1]}"}
            program = program or [str(efvi_python()), "-c", "from framelane.cli.framelaned import main; main()"]
        elif transport == "vma":
            settings.setdefault(STAND_IN_OF_VMA, "on")
        return start_driver(
            self.processes,
            self.shared / side,
            name=side,
            namespace=self._namespace(side),
            settings=settings | ENVIRONMENT,
            program=program,
        )

    def _namespace(self, side: str) -> str | None:
        if self.link is None:
            return None
        return self.link.left if side == "left" else self.link.right

    def _configuration(self, side: str, transport: str) -> str:
        if transport == "xdp" or transport.startswith("efvi"):
            name = transport.split()[0]
            return f'{self._order(name)}[transport.{name}]\ninterface = "eth0"\n'
        if transport == "vma":
            return f'{self._order("vma")}[transport.vma]\nlibrary = "{build_stand_in()}"\ninterfaces = ["eth0"]\n'
        text = f"{self._order('dpdk')}[transport.dpdk]\n"
        if transport == "memif":
            role = "server" if side == "left" else "client"
            text += f'vdev = "net_memif"\nvdev_args = {{ role = "{role}", socket = "{self.shared / "memif.sock"}" }}\n'
            text += f"ip_mtu = {self.mtu}\n"
        elif transport == "tap":
            text += 'vdev = "net_tap"\nvdev_args = { iface = "tap0" }\n'
        else:
            text += _ON_VETH[transport]
        if transport in _HAS_OWN_ADDRESSES:
            address, address6 = LEFT if side == "left" else self.right
            text += f'addresses = ["{address}/24", "{address6}/64"]\n'
            if self.gateways is not None:
                text += "gateway = [{}]\n".format(", ".join(f'"{one}"' for one in self.gateways[side == "right"]))
        return text + (f"vlan = {self.vlan}\n" if self.vlan is not None else "")

    def _order(self, name: str) -> str:
        return f'[transport]\nrequire = "{name}"\n' if self.required else f'[transport]\nuse = ["{name}", "sockets"]\n'

    def set_up(self) -> None:
        """Make the network fit; once more after the pair was made again."""
        link = self.link
        if link is None:
            return
        if "tap" in self.transports:
            link.delete_pair()
            return
        hosts = ((link.left, LEFT, self.transports[0]), (link.right, self.right, self.transports[1]))
        for place, (namespace, (_, address6), transport) in enumerate(hosts):
            # Checksums are computed, as on a machine behind a cable.
            run_in(namespace, "ethtool", "-K", "eth0", "tx", "off", "txvlan", "off", "rxvlan", "off")
            run_in(namespace, "ip", "link", "set", "eth0", "mtu", str(self.mtu))
            if transport in _HAS_OWN_ADDRESSES:
                run_in(namespace, "ip", "address", "flush", "dev", "eth0")
            else:
                run_in(namespace, "ip", "address", "add", f"{address6}/64", "dev", "eth0", "nodad")
                if self.gateways is not None:
                    run_in(namespace, "ip", "route", "add", "fd00::/8", "via", self.gateways[place][1])

    def _set_up_tap(self, link: Link) -> None:
        address, address6 = RIGHT
        run_in(link.left, "ip", "link", "set", "tap0", "netns", link.right)
        run_in(link.right, "ip", "address", "add", f"{address}/24", "dev", "tap0")
        run_in(link.right, "ip", "address", "add", f"{address6}/64", "dev", "tap0", "nodad")
        run_in(link.right, "ip", "link", "set", "tap0", "up")
        run_in(link.right, "ip", "route", "add", "224.0.0.0/4", "dev", "tap0")


def figures(driver: DriverProcess) -> dict[str, int]:
    """Return the figures of its transports on devices; they are copied from them once a second."""
    return {c.label: c.value for c in driver.cnc.counters() if c.label.startswith(("dpdk-", "xdp-", "efvi-", "vma-"))}


def check_served_by(driver: DriverProcess, transport: str) -> None:
    """Every endpoint is on the transport, datagrams went both ways through it, and none was lost at this host."""
    first = transport.split()[0]
    name = first if first in ("efvi", "vma", "xdp", "sockets") else "dpdk"
    assert {one.transport for one in read_verdicts(driver.cnc.counters())} <= {name}
    if name != "sockets":
        what = "datagrams" if name == "vma" else "pkts"
        wait_until(
            lambda: figures(driver).get(f"{name}-tx-{what}") and figures(driver).get(f"{name}-rx-{what}"),
            f"datagrams over {name}",
        )
        now = figures(driver)
    if name == "vma":
        assert now["vma-rx-errors"] == now["vma-tx-errors"] == now["vma-rx-not-freed"] == 0
    elif name != "sockets":
        assert now[f"{name}-tx-unresolved"] == now[f"{name}-rx-checksum-failure-udp"] == 0
    assert not [entry for entry in driver.errors() if entry.startswith("(")]  # the others are notes
