"""What is looked up on the machine: sysfs for hardware, netlink for routes."""

from __future__ import annotations

from ipaddress import ip_address

from framelane.netstack.routes import NetlinkRoutes
from framelane.transport.hardware import find_hardware


def pci(root, address, vendor, device, driver, interface=None, pci_class="0x020000", rdma=None):
    """Make a PCI device in a sysfs tree."""
    entry = root / "bus/pci/devices" / address
    entry.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("device", device), ("class", pci_class)):
        (entry / name).write_text(f"{value}\n")
    if driver:
        (root / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (entry / "driver").symlink_to(root / "bus/pci/drivers" / driver)
    if interface:
        (entry / "net" / interface).mkdir(parents=True)
    if rdma:
        (root / "class/infiniband" / rdma).mkdir(parents=True)
        (root / "class/infiniband" / rdma / "device").symlink_to(entry)


def test_hardware_of_each_device_transport_is_found_and_ordinary_devices_are_not(tmp_path):
    pci(tmp_path, "0000:01:00.0", "0x8086", "0x1521", "igb", "eth0")
    pci(tmp_path, "0000:02:00.0", "0x1924", "0x0b03", "sfc", "eth2")  # X2
    pci(tmp_path, "0000:02:00.1", "0x1924", "0x0b03", "vfio-pci")  # taken from the kernel: DPDK's
    pci(tmp_path, "0000:03:00.0", "0x15b3", "0x1017", "mlx5_core", "eth3", rdma="mlx5_0")
    pci(tmp_path, "0000:04:00.0", "0x15b3", "0x1017", "mlx5_core", "eth4")  # no RDMA device
    pci(tmp_path, "0000:05:00.0", "0x10ee", "0x5084", "xilinx_efct", "eth5")  # X3522
    pci(tmp_path, "0000:06:00.0", "0x1d0f", "0xec20", "ena", "eth6")  # the kernel has it
    pci(tmp_path, "0000:07:00.0", "0x1d0f", "0xec20", "vfio-pci")
    pci(tmp_path, "0000:08:00.0", "0x10de", "0x2204", "vfio-pci", pci_class="0x030000")  # a display
    (tmp_path / "bus/pci/devices/0000:09:00.0").mkdir()  # one that is going away
    assert find_hardware(tmp_path) == {
        "efvi": ("0000:02:00.0 (eth2)", "0000:05:00.0 (eth5)"),
        "dpdk": ("0000:02:00.1", "0000:03:00.0 (eth3)", "0000:04:00.0 (eth4)", "0000:07:00.0"),
        "vma": ("0000:03:00.0 (eth3)",),
    }


def test_a_machine_without_sysfs_has_no_hardware(tmp_path):
    assert find_hardware(tmp_path / "absent") == {}


def test_netlink_knows_loopback_as_local():
    with NetlinkRoutes() as routes:
        route = routes.route_to(ip_address("127.0.0.1"))
        assert route is not None
        assert (route.interface, route.is_local) == ("lo", True)
        loopback = next(interface for interface in routes.interfaces() if interface.name == "lo")
    assert loopback.is_loopback
    assert ip_address("127.0.0.1") in [own.ip for own in loopback.addresses]
    assert route.interface_index == loopback.index


def test_netlink_says_none_where_there_is_no_route():
    with NetlinkRoutes() as routes:
        assert routes.route_to(ip_address("192.0.2.1"), interface_index=2**30) is None


def test_every_own_address_is_local():
    with NetlinkRoutes() as routes:
        for interface in routes.interfaces():
            if not interface.is_up:
                continue
            for own in interface.addresses:
                if own.ip.is_link_local:
                    continue
                route = routes.route_to(own.ip)
                assert route is not None
                assert route.is_local, own
