"""Names of devices, who uses them, huge pages, and the commands over a machine made of files."""

from __future__ import annotations

import json
import os
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from framelane.netstack.routes import NetlinkRoutes
from framelane_dpdk import saved_state
from framelane_dpdk.cli import make_app
from framelane_dpdk.hugepages import plan_reserve, pools
from framelane_dpdk.in_use import interface_index, sockets_on
from framelane_dpdk.pci import BindingError, find_device, is_driver_name, is_interface_name
from framelane_dpdk.steps import execute
from support.made_up_machine import MadeUpMachine

NIC = "0000:03:00.0"


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpMachine:
    monkeypatch.setenv(saved_state.STATE_DIRECTORY_VARIABLE, str(tmp_path / "state"))
    made = MadeUpMachine(tmp_path)
    made.add(NIC, "e1000e", "eth2")
    made.add("0000:00:1f.0", "lpc_ich", group=1, pci_class=0x060100)
    for size, count in (("2048", 4), ("1048576", 1)):
        for node in (0, 1):
            directory = made.sysfs / f"devices/system/node/node{node}/hugepages/hugepages-{size}kB"
            directory.mkdir(parents=True)
            (directory / "nr_hugepages").write_text(f"{count}\n")
            (directory / "free_hugepages").write_text("1\n")
    return made


def run(computer: MadeUpMachine, *words: str) -> Result:
    return CliRunner().invoke(make_app(computer.machine), list(words))


@pytest.mark.parametrize("name", ["eth2", NIC, "03:00.0", "0000:03:00.0".upper()])
def test_a_device_is_found_by_each_of_its_names(computer: MadeUpMachine, name: str) -> None:
    assert find_device(computer.sysfs, name).address == NIC


def test_a_device_that_was_taken_is_found_by_the_name_its_interface_had(computer: MadeUpMachine) -> None:
    assert find_device(computer.sysfs, "lan0", former_names=[("lan0", NIC)]).address == NIC


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../etc", "neither a PCI address"),
        ("eth2/../eth2", "neither a PCI address"),
        ("a name", "neither a PCI address"),
        ("sixteen-letters-", "neither a PCI address"),
        ("..", "neither a PCI address"),
        ("", "neither a PCI address"),
        ("0000:03:00.9", "neither a PCI address"),
        ("0000:04:00.0", "not found"),
        ("0000:00:1f.0", "no network device"),
        ("eth9", "there is none"),
    ],
)
def test_a_wrong_name_is_refused(computer: MadeUpMachine, name: str, words: str) -> None:
    with pytest.raises(BindingError, match=words):
        find_device(computer.sysfs, name)


def test_names_that_could_be_paths_are_no_names() -> None:
    assert all(map(is_driver_name, ("vfio-pci", "e1000e", "8139too", "uio_pci_generic")))
    assert not any(map(is_driver_name, ("", ".", "..", "a/b", "a b", "a\n", "-a", "x" * 64)))
    assert not any(map(is_interface_name, ("", ".", "..", "a/b", "a:1", "a\nb", "a" * 16)))


def test_sockets_of_this_machine_are_found_with_their_owner() -> None:
    with NetlinkRoutes() as routes, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = sockets_on("lo", interface_index("lo"), {ip_address("127.0.0.1")}, proc=Path("/proc"), routes=routes)
    (mine,) = (one for one in found if one.local == f"127.0.0.1:{port}")
    assert (mine.kind, mine.remote) == ("tcp", None)
    assert mine.owner.endswith(f"(pid {os.getpid()})")


def test_addresses_of_ipv6_sockets_are_read_with_mapped_ones_as_ipv4(computer: MadeUpMachine) -> None:
    computer.add_socket("tcp6", "0000000000000000FFFF00000500010A:0016", "0" * 32 + ":0000", "0A")
    computer.add_socket("udp6", "000080FE00000000000000000500000A:1388", "0" * 32 + ":0000", "07")
    mapped, link_local = sockets_on(
        "eth2",
        2,
        {ip_address("10.1.0.5"), ip_address("fe80::a00:5")},
        proc=computer.proc,
        routes=computer.network.routes,
    )
    assert (mapped.local, link_local.local) == ("10.1.0.5:22", "[fe80::a00:5]:5000")


def test_huge_pages_are_reserved_on_the_node_that_is_named(computer: MadeUpMachine) -> None:
    with pytest.raises(BindingError, match="nodes 0, 1; name one with --node"):
        plan_reserve(computer.sysfs, 8, size_kib=None, node=None)
    execute(plan_reserve(computer.sysfs, 8, size_kib=None, node=1), lambda _: None)
    assert [(pool.node, pool.size_kib, pool.total) for pool in pools(computer.sysfs)] == [
        (0, 2048, 4),
        (0, 1048576, 1),
        (1, 2048, 8),
        (1, 1048576, 1),
    ]


def test_when_the_kernel_finds_fewer_huge_pages_the_old_number_is_set_again(computer: MadeUpMachine) -> None:
    pool = pools(computer.sysfs)[0].path / "nr_hugepages"
    with pytest.raises(BindingError, match="the kernel found 6"):
        execute(plan_reserve(computer.sysfs, 100, size_kib=2048, node=0), lambda _: pool.write_text("6\n") and None)
    assert pool.read_text() == "4"


def test_huge_pages_in_use_are_not_given_away(computer: MadeUpMachine) -> None:
    with pytest.raises(BindingError, match="3 are in use"):
        plan_reserve(computer.sysfs, 2, size_kib=2048, node=0)


def test_the_list_tells_what_a_device_is_and_who_uses_it(computer: MadeUpMachine) -> None:
    computer.add_socket("udp", "0500010A:1388", "00000000:0000", "07", inode=12)
    computer.hold("socket:[12]", 55, "aeronmd")
    (entry,) = json.loads(run(computer, "list", "--json").stdout)["devices"]
    assert entry == {
        "address": NIC,
        "id": "8086:10d3",
        "driver": "e1000e",
        "numa_node": 1,
        "iommu_group": 7,
        "iommu": "yes",
        "interfaces": ["eth2"],
        "link": "unknown",
        "speed_mbps": None,
        "addresses": ["10.1.0.5/24", "fe80::5/64"],
        "used_by": ["udp 10.1.0.5:5000, aeronmd (pid 55)"],
        "kept": None,
        "binding": "possible",
    }
    assert "aeronmd (pid 55)" in run(computer, "list").stdout


def test_a_dry_run_prints_every_write_as_path_and_value(computer: MadeUpMachine) -> None:
    document = json.loads(run(computer, "bind", "eth2", "--dry-run", "--json").stdout)
    device = computer.sysfs / "bus/pci/devices" / NIC
    assert document["steps"][1:4] == [
        {"write": f"{device}/driver_override", "value": "vfio-pci"},
        {"write": f"{device}/driver/unbind", "value": NIC},
        {"write": f"{computer.sysfs}/bus/pci/drivers/vfio-pci/bind", "value": NIC},
    ]
    assert computer.device(NIC).driver == "e1000e"


def test_binding_ends_with_the_lines_of_the_configuration(computer: MadeUpMachine) -> None:
    device = computer.sysfs / "bus/pci/devices" / NIC
    (device / "driver").unlink()
    (device / "driver").symlink_to(computer.sysfs / "bus/pci/drivers/vfio-pci")
    done = run(computer, "bind", NIC)
    assert f'[transport.dpdk]\ndevice = "{NIC}"' in done.stdout
