"""From settings to the one device that is opened: what DPDK calls it, and what Linux knows of it."""

from __future__ import annotations

import fcntl
import itertools
import socket
import struct
from dataclasses import dataclass

from framelane.errors import TransportError
from framelane_dpdk.ena import ena_arguments
from framelane_dpdk.memif_socket import DEFAULT_SOCKET
from framelane_dpdk.naming import is_ena, numbered_device, pci_address_of, sysfs
from framelane_dpdk.pci import PciDevice, read_device
from framelane_dpdk.settings import DpdkSettings
from framelane_dpdk.vdevs import RING, VDEVS, ArgumentValue, format_arguments, is_true, split_name

__all__ = ["Target", "find_target", "has_iommu", "release_name"]

_SIOCGIFMTU = 0x8921
_DEFAULT_MTU = 1500
_L2_LENGTH = 18
#: Room for what AF_PACKET puts before a frame in its ring.
_PACKET_HEADER = 128
_BLOCK_FRAMES = 8
_PAGE = 4096

_LIST = "`framelane dpdk list` shows what there is"


@dataclass(frozen=True)
class Target:
    """The device that the settings name."""

    name: str  #: as DPDK calls it
    devargs: str  #: for ``rte_dev_probe``; empty for rings
    link: str = ""
    interface: str | None = None  #: the kernel's, behind it
    kernel_coexists: bool = False
    mtu: int | None = None  #: to run with; ``None``: as the device has it
    set_mtu: bool = True  #: the device does not have that MTU by itself
    pci: PciDevice | None = None
    least_descriptors: int = 0
    any_length: bool = False  #: its buffers alone say how long a frame may be
    waits_for_peer: bool = False  #: it cannot be started before its peer is there
    listens_at: str | None = None  #: socket file that DPDK makes for it
    shares_mac: bool = False  #: Linux, at its far end, has the same MAC address

    @property
    def is_ena(self) -> bool:
        return self.pci is not None and is_ena(self.pci)

    @property
    def needs_physical(self) -> bool:
        """Whether the device reads memory by physical addresses."""
        return self.pci is not None and not self.pci.is_bifurcated and not has_iommu()


def has_iommu() -> bool:
    """Whether an IOMMU is active."""
    try:
        return any((sysfs() / "class/iommu").iterdir())
    except OSError:
        return False


def find_target(settings: DpdkSettings, version: tuple[int, int]) -> Target | None:
    """Return the device that the settings name; ``None`` if they name none.

    :param version: year and month of the DPDK release.
    :raises TransportError: if there is no such device, or this release of DPDK cannot do what was asked.
    """
    if settings.vdev is not None:
        return _virtual(settings, version)
    if settings.device is None and settings.port_id is None:
        return None
    device = settings.device
    if settings.port_id is not None:
        device = numbered_device(settings.port_id)
        if device is None:
            raise TransportError(
                f"transport.dpdk.port_id = {settings.port_id}: there are not as many devices that DPDK can take; "
                "`framelane dpdk list` shows what there is, `framelane dpdk bind` takes one from Linux"
            )
    assert device is not None
    return _physical(settings, device, version)


def _physical(settings: DpdkSettings, device: str, version: tuple[int, int]) -> Target:
    address = pci_address_of(device)
    pci = None if address is None else read_device(sysfs(), address)
    if address is None:
        there = (sysfs() / "class/net" / device).exists()
        found = "is no interface of a PCI device" if there else "is not, and was not, an interface of this machine"
        hint = f'; over any interface: vdev = "net_af_packet", vdev_args = {{ iface = "{device}" }}' if there else ""
        raise TransportError(f"transport.dpdk.device = {device!r}: it {found}; {_LIST}{hint}")
    if pci is None or not pci.is_network:
        raise TransportError(
            f"transport.dpdk.device = {device!r}: there is no network device {address} in {sysfs()}/bus/pci/devices; "
            f"{_LIST}"
        )
    if pci.is_bifurcated:
        _check_shared(settings, pci)
    arguments = ena_arguments(settings, version, pci.driver) if is_ena(pci) else settings.devargs
    text = "".join(f",{name}={_plain(value)}" for name, value in arguments.items())
    interface = pci.interfaces[0] if pci.is_bifurcated and pci.interfaces else None
    kernel_mtu = None if interface is None else _interface_mtu(interface)
    return Target(
        name=address,
        devargs=address + text,
        interface=interface,
        kernel_coexists=interface is not None,
        mtu=settings.ip_mtu or kernel_mtu,
        set_mtu=settings.ip_mtu is not None and settings.ip_mtu != kernel_mtu,
        pci=pci,
    )


def _check_shared(settings: DpdkSettings, pci: PciDevice) -> None:
    """Refuse what would leave a device that stays with Linux without ARP and NDP: only its rules' datagrams come."""
    if settings.neighbours == "own":
        raise TransportError(
            f'transport.dpdk.neighbours = "own": Linux keeps {pci.label} by {pci.driver}, and ARP and NDP go to it; '
            "leave neighbours, addresses, gateway and routes out"
        )
    if not pci.interfaces:
        raise TransportError(
            f"transport.dpdk.device = {settings.device!r}: {pci.driver} has it, and its interface, with addresses and "
            "neighbours, is not in this network namespace; start the driver in the one that it is in"
        )


def _virtual(settings: DpdkSettings, version: tuple[int, int]) -> Target:
    assert settings.vdev is not None
    driver, number = split_name(settings.vdev)
    vdev = VDEVS[driver]
    _check_release(driver, settings.vdev_args, version)
    name = settings.vdev if number else _free_name(driver)
    interface = settings.vdev_args.get(vdev.interface) if vdev.interface is not None else None
    kernel_mtu = _interface_mtu(interface) if isinstance(interface, str) else None
    mtu = settings.ip_mtu or kernel_mtu
    if driver == RING:
        link = str(settings.vdev_args["link"])
        return Target(name=f"{RING}_{link}", devargs="", link=link, mtu=mtu)
    arguments = {**vdev.defaults, **_buffer_arguments(driver, mtu or _DEFAULT_MTU), **settings.vdev_args}
    text = format_arguments(driver, arguments)
    return Target(
        name=name,
        devargs=f"{name},{text}" if text else name,
        interface=interface if isinstance(interface, str) else None,
        kernel_coexists=vdev.kernel_coexists and isinstance(interface, str) and settings.neighbours != "own",
        mtu=mtu,
        set_mtu=mtu is not None and mtu != (kernel_mtu or _DEFAULT_MTU),
        least_descriptors=vdev.least_descriptors,
        any_length=vdev.buffer is not None,
        waits_for_peer=arguments.get("role") == "client",
        listens_at=_listens_at(arguments),
        shares_mac=driver == "net_tap" and "remote" not in arguments,
    )


def _listens_at(arguments: dict[str, ArgumentValue]) -> str | None:
    if arguments.get("role") != "server" or is_true(arguments.get("socket-abstract", False)):
        return None
    return str(arguments.get("socket", DEFAULT_SOCKET))


def _check_release(driver: str, arguments: dict[str, ArgumentValue], version: tuple[int, int]) -> None:
    for name in arguments:
        since = VDEVS[driver].arguments[name].since
        year, _, month = since.partition(".")
        if version < (int(year), int(month)):
            raise TransportError(
                f"transport.dpdk.vdev_args: {name} of {driver} came with DPDK {since}, and this is "
                f"{version[0]}.{version[1]:02}; leave it out, or install a newer DPDK"
            )


def _buffer_arguments(driver: str, mtu: int) -> dict[str, ArgumentValue]:
    """Return what a virtual device needs to take frames of this MTU in one piece."""
    buffer = VDEVS[driver].buffer
    if buffer is None:
        return {}
    name, usual = buffer
    frame = mtu + _L2_LENGTH
    if driver == "net_af_packet":
        frame += _PACKET_HEADER
    if frame <= usual:
        return {}
    if driver != "net_af_packet":
        return {name: -(-frame // 64) * 64}
    # Blocks are whole pages for the kernel, and DPDK looks for frame after frame without regard to blocks: frames fill
    # them without a rest. As many in each as divide DPDK's number of frames, 512.
    unit = _PAGE // _BLOCK_FRAMES
    length = -(-frame // unit) * unit
    return {name: length, "blocksz": length * _BLOCK_FRAMES}


_used_names: set[str] = set()


def _free_name(driver: str) -> str:
    """Return a device name that no other transport of this process has; :func:`release_name` gives it back."""
    name = next(name for number in itertools.count() if (name := f"{driver}{number}") not in _used_names)
    return name


def release_name(name: str, *, in_use: bool) -> None:
    """Take a device name, or give it back."""
    (_used_names.add if in_use else _used_names.discard)(name)


def _interface_mtu(interface: str) -> int | None:
    """Ask the kernel, not sysfs: that shows the network namespace that it was mounted in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFMTU, struct.pack("16si12x", interface.encode()[:15], 0))
        except OSError:
            return None
    return int(struct.unpack("16si12x", answer)[1])


def _plain(value: ArgumentValue) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
