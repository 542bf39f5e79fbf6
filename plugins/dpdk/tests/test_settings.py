"""What a user may write, and the device that it comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from framelane.driver.settings import load_settings
from framelane.errors import TransportError
from framelane_dpdk import saved_state
from framelane_dpdk.ena import ena_arguments
from framelane_dpdk.environment import Environment, environment_arguments, resolve_environment
from framelane_dpdk.naming import SYSFS_VARIABLE
from framelane_dpdk.saved_state import SavedInterface, SavedRoute
from framelane_dpdk.settings import DpdkSettings
from framelane_dpdk.target import find_target

VERSION = (22, 11)
NIC = "0000:03:00.0"
SAVED = SavedInterface(
    NIC,
    "eth2",
    addresses=("10.1.0.5/24",),
    gateway=("10.1.0.1",),
    routes=(SavedRoute("10.2.0.0/16", "10.1.0.9"),),
    mtu=9000,
)


class Sysfs:
    """A made-up sysfs with network devices."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        address: str,
        *,
        driver: str | None = "vfio-pci",
        interface: str | None = None,
        vendor: int = 0x8086,
        device: int = 1,
    ) -> None:
        path = self.root / "bus/pci/devices" / address
        path.mkdir(parents=True)
        for name, value in (("vendor", vendor), ("device", device), ("class", 0x020000)):
            (path / name).write_text(f"0x{value:x}\n")
        if driver is not None:
            at = self.root / "bus/pci/drivers" / driver
            at.mkdir(parents=True, exist_ok=True)
            (path / "driver").symlink_to(at)
        if interface is not None:
            (path / "net" / interface).mkdir(parents=True)
            (self.root / "class/net" / interface).mkdir(parents=True)

    def add_iommu(self) -> None:
        (self.root / "class/iommu/dmar0").mkdir(parents=True)


@pytest.fixture(autouse=True)
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    monkeypatch.setenv(SYSFS_VARIABLE, str(tmp_path))
    monkeypatch.setenv(saved_state.STATE_DIRECTORY_VARIABLE, str(tmp_path / "state"))
    return Sysfs(tmp_path)


@pytest.mark.parametrize("device", [NIC, "03:00.0", "eth2"])
def test_a_taken_device_has_what_linux_knew_of_it(sysfs: Sysfs, device: str) -> None:
    sysfs.add(NIC)
    saved_state.save(SAVED)
    settings = DpdkSettings(device=device)
    assert [str(one) for one in settings.addresses] == ["10.1.0.5/24"]
    assert [str(one) for one in settings.gateway] == ["10.1.0.1"]
    assert [(str(one.to), str(one.via)) for one in settings.routes] == [("10.2.0.0/16", "10.1.0.9")]
    target = find_target(settings, VERSION)
    assert target is not None
    assert (target.name, target.mtu) == (NIC, 9000)


@pytest.mark.parametrize(
    ("routes", "kept"),
    [
        ((SavedRoute("10.1.0.1/32"), SavedRoute("10.2.0.0/16", "10.1.0.1")), ["10.1.0.1/32", "10.2.0.0/16"]),
        ((), ["10.1.0.1/32"]),  # the kernel's route had the flag onlink in place of a route to the gateway
    ],
)
def test_a_gateway_beyond_the_own_network_is_kept_as_the_cloud_has_it(
    sysfs: Sysfs, routes: tuple[SavedRoute, ...], kept: list[str]
) -> None:
    sysfs.add(NIC)
    saved_state.save(SavedInterface(NIC, "eth2", ("10.1.0.5/32",), ("10.1.0.1",), routes, mtu=65535))
    settings = DpdkSettings(device=NIC)
    assert [str(one.to) for one in settings.routes] == kept
    assert [str(one) for one in settings.gateway] == ["10.1.0.1"]
    assert settings.ip_mtu == 9216


def test_what_is_configured_wins_over_what_linux_knew(sysfs: Sysfs) -> None:
    sysfs.add(NIC)
    saved_state.save(SAVED)
    settings = DpdkSettings(device=NIC, addresses=["10.9.0.1/24"])
    assert (settings.gateway, settings.ip_mtu) == ((), None)
    assert DpdkSettings(device=NIC, ip_mtu=1500).ip_mtu == 1500


def test_a_number_names_the_usable_devices_in_order(sysfs: Sysfs) -> None:
    sysfs.add("0000:01:00.0", driver="e1000e", interface="eth0")
    sysfs.add("0000:02:00.0")
    sysfs.add("0000:04:00.0", driver="mlx5_core", interface="eth4")
    names = [target.name for number in (0, 1) if (target := find_target(DpdkSettings(port_id=number), VERSION))]
    assert names == ["0000:02:00.0", "0000:04:00.0"]
    with pytest.raises(TransportError, match="port_id = 2: there are not as many"):
        find_target(DpdkSettings(port_id=2), VERSION)


def test_a_bifurcated_device_keeps_its_interface(sysfs: Sysfs) -> None:
    sysfs.add(NIC, driver="mlx5_core", interface="eth2")
    target = find_target(DpdkSettings(device="eth2", devargs={"rxq_cqe_comp_en": 0}), VERSION)
    assert target is not None
    assert (target.devargs, target.interface, target.kernel_coexists) == (f"{NIC},rxq_cqe_comp_en=0", "eth2", True)
    assert not target.needs_physical


def test_a_bifurcated_device_without_the_kernels_neighbours_is_refused(sysfs: Sysfs) -> None:
    sysfs.add(NIC, driver="mlx5_core", interface="eth2")
    with pytest.raises(TransportError, match=r"Linux keeps 0000:03:00\.0 \(eth2\) by mlx5_core.*leave neighbours"):
        find_target(DpdkSettings(device=NIC, neighbours="own", addresses=["10.1.0.5/24"]), VERSION)
    sysfs.add("0000:04:00.0", driver="mana")
    with pytest.raises(TransportError, match=r"mana has it, and its interface.*is not in this network namespace"):
        find_target(DpdkSettings(device="0000:04:00.0"), VERSION)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("eth9", "is not, and was not, an interface of this machine"),
        ("br0", r'no interface of a PCI device; `framelane dpdk list`.*vdev = "net_af_packet"'),
        ("0000:09:00.0", "no network device 0000:09:00.0"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_the_next_step(sysfs: Sysfs, device: str, message: str) -> None:
    (sysfs.root / "class/net/br0").mkdir(parents=True)
    with pytest.raises(TransportError, match=message):
        find_target(DpdkSettings(device=device), VERSION)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "eth2", "vdev": "net_null"}, "device and vdev: name the device in one way"),
        ({"device": "../eth2"}, "expected a PCI address such as"),
        ({"vdev": "net_memfi"}, "no virtual device.*did you mean net_memif"),
        ({"vdev": "net_memif", "vdev_args": {"rol": "server"}}, "rol is no argument of net_memif; did you mean role"),
        ({"vdev": "net_memif", "vdev_args": {"role": "master"}}, "expected server or client"),
        ({"vdev": "net_memif", "vdev_args": {"rsize": 15}}, "expected 1 to 14"),
        ({"vdev": "net_memif", "vdev_args": {"zero-copy": "maybe"}}, "expected true or false"),
        ({"vdev": "net_af_packet"}, "iface is needed"),
        ({"vdev": "net_ring", "vdev_args": {"link": "a/b"}}, "1 to 12 letters, digits and hyphens"),
        ({"vdev_args": {"role": "server"}}, "there is no vdev to take them"),
        ({"vdev": "net_null", "devargs": {"a": 1}}, "a vdev takes vdev_args"),
        ({"device": NIC, "devargs": {"a": "1,b=2"}}, "without white space, commas"),
        ({"cores": "0,x"}, "expected numbers and ranges"),
        ({"file_prefix": "../x"}, "expected up to 64"),
        ({"extra_eal_args": ["--no-huge", "-n", "4"]}, "--no-huge: set hugepages = false"),
        ({"extra_eal_args": ["--in-memory"]}, "--in-memory: set hugepages = true"),
        ({"extra_eal_args": ["-l0", "-m", "64"]}, "-l0: set cores; -m: set memory"),
        (
            {"extra_eal_args": ["--vdev=net_null0", "--help"]},
            "set vdev and vdev_args; --help: it would end the process",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DpdkSettings.model_validate(given)


def test_arguments_reach_dpdk_as_it_writes_them() -> None:
    arguments = {"role": "server", "socket": "/run/a.sock", "zero-copy": True, "rsize": "11"}
    target = find_target(DpdkSettings(vdev="net_memif3", vdev_args=arguments), VERSION)
    assert target is not None
    assert target.devargs == "net_memif3,socket-abstract=no,role=server,socket=/run/a.sock,zero-copy=yes,rsize=11"


def test_an_argument_of_a_later_release_is_refused_with_both() -> None:
    settings = DpdkSettings(vdev="net_af_xdp", vdev_args={"iface": "v0", "use_cni": True})
    with pytest.raises(TransportError, match=r"use_cni of net_af_xdp came with DPDK 23\.11, and this is 22\.11"):
        find_target(settings, VERSION)


@pytest.mark.parametrize(
    ("version", "llq", "expected"),
    [
        ((21, 11), "large", {"large_llq_hdr": 1}),
        ((22, 11), "normal", {"large_llq_hdr": 0}),
        ((23, 11), "off", {"enable_llq": 0}),
        ((24, 11), "off", {"llq_policy": 0}),
        ((25, 11), "large", {"llq_policy": 3}),
        ((25, 11), "device", {}),
    ],
)
def test_enas_arguments_are_those_of_the_release(version: tuple[int, int], llq: str, expected: dict[str, int]) -> None:
    assert ena_arguments(DpdkSettings.model_validate({"ena_llq": llq}), version) == expected


def test_ena_gets_its_time_out_and_refuses_what_its_release_lacks(sysfs: Sysfs) -> None:
    sysfs.add(NIC, vendor=0x1D0F, device=0xEC20)
    target = find_target(DpdkSettings(device=NIC, ena_tx_timeout_s=30), VERSION)
    assert target is not None
    assert (target.devargs, target.is_ena) == (f"{NIC},miss_txc_to=30", True)
    with pytest.raises(TransportError, match=r"ena_llq = 'off': DPDK 21\.11 cannot"):
        ena_arguments(DpdkSettings(ena_llq="off"), (21, 11))


def test_ena_without_interrupts_is_polled_where_the_release_can(sysfs: Sysfs) -> None:
    sysfs.add(NIC, vendor=0x1D0F, device=0xEC21, driver="uio_pci_generic")
    target = find_target(DpdkSettings(device=NIC), (24, 11))
    assert target is not None and target.devargs == f"{NIC},control_path_poll_interval=1000"
    target = find_target(DpdkSettings(device=NIC, devargs={"control_path_poll_interval": 500}), (25, 11))
    assert target is not None and target.devargs == f"{NIC},control_path_poll_interval=500"
    with pytest.raises(
        TransportError, match=r"DPDK 22\.11 cannot drive an ENA device that is bound to uio_pci_generic"
    ):
        find_target(DpdkSettings(device=NIC), VERSION)
    with pytest.raises(TransportError, match="write control_path_poll_interval"):
        find_target(DpdkSettings(device=NIC, devargs={"control_poll_interval": 500}), (24, 11))


def plain(**changes: object) -> Environment:
    fields = {
        "cores": "0-3",
        "memory": 256,
        "hugepages": False,
        "iova": "va",
        "file_prefix": None,
        "extra_eal_args": (),
    }
    return Environment(**fields | changes)  # type: ignore[arg-type]


def test_the_environment_without_huge_pages_is_not_in_memory() -> None:
    assert environment_arguments(plain(), VERSION) == [
        "framelane", "--lcores=0@(0-3)", "--no-telemetry", "--log-level=warning", "--no-huge", "--no-shconf",
        "-m", "256", "--iova-mode=va", "-a", "0000:00:00.0",
    ]  # fmt: skip


def test_the_environment_with_huge_pages_is_in_memory_and_takes_what_is_added() -> None:
    environment = plain(hugepages=True, memory=None, iova="pa", file_prefix="mine", extra_eal_args=("-n", "4"))
    assert environment_arguments(environment, (26, 7)) == [
        "framelane", "--lcores=0@(0-3)", "--no-telemetry", "--log-level=warning", "--in-memory",
        "--iova-mode=pa", "--no-auto-probing", "--file-prefix=mine", "-n", "4",
    ]  # fmt: skip


def test_huge_pages_are_used_where_there_are_free_ones(sysfs: Sysfs) -> None:
    assert not resolve_environment(DpdkSettings(), needs_physical=False).hugepages
    pool = sysfs.root / "devices/system/node/node0/hugepages/hugepages-2048kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text("8")
    (pool / "free_hugepages").write_text("8")
    environment = resolve_environment(DpdkSettings(), needs_physical=True)
    assert (environment.hugepages, environment.memory, environment.iova) == (True, None, "pa")
    assert not resolve_environment(DpdkSettings(hugepages=False), needs_physical=False).hugepages


def test_the_premium_drivers_names_of_the_environment_are_taken() -> None:
    loaded = load_settings(
        environ={
            "AERON_DPDK_LOCAL_IPV4_ADDRESS": "10.1.0.5/24",
            "AERON_DPDK_GATEWAY_IPV4_ADDRESS": "10.1.0.1",
            "AERON_DPDK_MTU": "9000",
            "AERON_DPDK_TX_QUEUE_SIZE": "512",
            "AERON_DPDK_RX_QUEUE_SIZE": "2048",
            "AERON_DPDK_PORT_ID": "1",
            "AERON_DPDK_USER": "aeron",
            "AERON_DPDK_GROUP": "aeron",
        }
    )
    settings = loaded.transport.plugins["dpdk"]
    assert isinstance(settings, DpdkSettings)
    assert [str(one) for one in (*settings.addresses, *settings.gateway)] == ["10.1.0.5/24", "10.1.0.1"]
    assert (settings.ip_mtu, settings.tx_queue_size, settings.rx_queue_size, settings.port_id) == (9000, 512, 2048, 1)
    assert (loaded.driver.user, loaded.driver.group) == ("aeron", "aeron")
