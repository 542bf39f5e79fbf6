"""Every obstacle with its next step."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from framelane.transport import Obstacle, Verdict
from framelane.transport.probe import run_probes
from framelane.transport.registry import discover
from framelane_dpdk import native
from framelane_dpdk import verdict as verdict_module
from framelane_dpdk.naming import SYSFS_VARIABLE
from framelane_dpdk.plugin import probe
from framelane_dpdk.settings import DpdkSettings

NIC = "0000:03:00.0"
Run = Callable[..., subprocess.CompletedProcess[str]]


def verdict(**settings: object) -> Verdict:
    return probe(DpdkSettings.model_validate(settings))


def only(found: Verdict) -> Obstacle:
    assert len(found.obstacles) == 1, found.obstacles
    return found.obstacles[0]


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SYSFS_VARIABLE, str(tmp_path))
    return tmp_path


def add_nic(
    sysfs: Path,
    *,
    driver: str | None,
    interface: str | None = None,
    group: int | None = None,
    ena: bool = False,
    address: str = NIC,
) -> None:
    path = sysfs / "bus/pci/devices" / address
    path.mkdir(parents=True)
    ids = (0x1D0F, 0xEC20) if ena else (0x8086, 1)
    for name, value in (("vendor", ids[0]), ("device", ids[1]), ("class", 0x020000)):
        (path / name).write_text(f"0x{value:x}\n")
    if driver is not None:
        (sysfs / "bus/pci/drivers" / driver).mkdir(parents=True)
        (path / "driver").symlink_to(sysfs / "bus/pci/drivers" / driver)
    if interface is not None:
        (path / "net" / interface).mkdir(parents=True)
    if group is not None:
        devices = sysfs / "kernel/iommu_groups" / str(group) / "devices"
        devices.mkdir(parents=True, exist_ok=True)
        (devices / address).symlink_to(path)
        (path / "iommu_group").symlink_to(sysfs / "kernel/iommu_groups" / str(group))


def test_a_configured_device_is_usable_and_the_facts_say_what_is_here() -> None:
    found = verdict(vdev="net_memif", addresses=["10.0.0.1/24"], gateway=["10.0.0.254"])
    assert found.usable and not found.obstacles
    facts = {fact.name: fact.value for fact in found.facts}
    assert facts["DPDK"].startswith("DPDK 2")
    assert ", ABI 2" in facts["DPDK"]
    assert "net_memif" in facts["drivers"]
    assert {"hugepages", "IOMMU", "devices"} <= set(facts)
    assert found.devices is not None
    (device,) = found.devices
    assert (device.name, device.addresses, device.reaches) == ("net_memif0", ("10.0.0.1/24",), ("0.0.0.0/0",))


def test_without_configuration_the_lines_to_add_are_named() -> None:
    found = verdict()
    assert not found.usable
    assert only(found).found == "no device configured"
    assert 'device = "0000:03:00.0" or vdev = "net_memif" under [transport.dpdk]' in only(found).next


def test_a_device_that_was_taken_is_named_in_the_lines_to_add(sysfs: Path) -> None:
    add_nic(sysfs, driver="vfio-pci", group=7)
    assert only(verdict()).next == f'add device = "{NIC}" under [transport.dpdk]'


def test_a_device_that_linux_has_is_to_be_bound(sysfs: Path) -> None:
    add_nic(sysfs, driver="ixgbe", interface="eth2")
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    found = verdict(device="eth2")
    assert not found.usable
    assert only(found).found == "Linux has it: driver ixgbe, interface eth2"
    assert only(found).next == "framelane dpdk bind eth2"


def test_a_wrong_interface_is_named() -> None:
    found = verdict(device="nosuch0")
    assert "is not, and was not, an interface of this machine" in only(found).found
    assert "framelane dpdk list" in only(found).next
    found = verdict(vdev="net_af_packet", vdev_args={"iface": "nosuch0"})
    assert (only(found).asked, only(found).found) == ("the interface nosuch0", "there is none of that name")


@pytest.mark.root  # without, that is the first obstacle
def test_without_huge_pages_a_device_without_iommu_cannot_run(sysfs: Path) -> None:
    add_nic(sysfs, driver="igb_uio")
    found = verdict(device=NIC)
    assert [(one.found, one.next) for one in found.obstacles] == [("none are free", "framelane dpdk hugepages 512")]
    assert only(verdict(vdev="net_null", hugepages=True)).next == "framelane dpdk hugepages 512"


def test_a_vfio_group_that_cannot_be_opened_is_named(sysfs: Path) -> None:
    add_nic(sysfs, driver="vfio-pci", group=4711)
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    asked = [one.asked for one in verdict(device=NIC).obstacles]
    assert "/dev/vfio/4711, readable and writable" in asked


def test_a_device_that_another_program_has_is_told_with_who_has_it(
    sysfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_nic(sysfs, driver="vfio-pci", group=4711)
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    proc = tmp_path / "proc"
    for pid in (71, os.getppid()):  # the driver that this process would be the probe of has it, too
        (proc / str(pid) / "fd").mkdir(parents=True)
        (proc / str(pid) / "fd/3").symlink_to("/dev/vfio/4711")
        (proc / str(pid) / "comm").write_text("testpmd\n")
    (proc / "self").symlink_to("/proc/self")
    monkeypatch.setattr(verdict_module, "_PROC", proc)
    found = verdict(device=NIC)
    assert [one.found for one in found.obstacles if "one program" in one.asked] == ["it is in use by testpmd (pid 71)"]


def test_a_group_that_linux_has_a_part_of_is_told_with_what_to_take(sysfs: Path) -> None:
    add_nic(sysfs, driver="vfio-pci", group=4711)
    add_nic(sysfs, driver="ixgbe", interface="eth3", group=4711, address="0000:03:00.1")
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    (obstacle,) = [one for one in verdict(device=NIC).obstacles if "IOMMU group" in one.found]
    assert "0000:03:00.1 (eth3) by ixgbe" in obstacle.found
    assert f"framelane dpdk bind {NIC} 0000:03:00.1" in obstacle.next


def test_a_processor_that_is_not_there_is_named() -> None:
    found = verdict(vdev="net_memif", cores="0,4090-4091")
    assert not found.usable
    assert only(found).found == "this machine has no processor 4090, 4091"
    assert only(found).next.startswith("name some of 0 to ")


@pytest.mark.parametrize("driver", ["vfio-pci", "uio_pci_generic"])
def test_ena_without_write_combining_is_warned_of(sysfs: Path, driver: str) -> None:
    add_nic(sysfs, driver=driver, group=4711, ena=True)
    (sysfs / "class/iommu/dmar0").mkdir(parents=True)
    found = verdict(device=NIC, devargs={"control_path_poll_interval": 1000})
    assert any("write combining" in one.asked and driver in one.found for one in found.obstacles)
    assert not found.capabilities.multicast


@pytest.mark.root
@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({"vdev": "net_af_packet", "vdev_args": {"iface": "lo"}}, "CAP_NET_RAW"),
        ({"vdev": "net_tap"}, "CAP_NET_ADMIN"),
        ({"vdev": "net_af_xdp", "vdev_args": {"iface": "lo"}}, "CAP_BPF"),
    ],
)
def test_without_root_the_missing_capability_is_named(
    run_python: Run, settings: dict[str, object], lacking: str
) -> None:
    source = (
        f"from test_verdict import verdict\nprint([(one.asked, one.next) for one in verdict(**{settings!r}).obstacles])"
    )
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    done = run_python(source, prefix=prefix)
    assert lacking in done.stdout, done
    assert "AmbientCapabilities=" in done.stdout
    assert "user 65534" not in done.stderr


@pytest.mark.parametrize(
    ("version", "found", "next_step"),
    [
        (None, "there are no headers of DPDK", "libdpdk-dev"),
        ("20.11.9", "DPDK 20.11.9 is too old", "install a newer DPDK"),
        ("22.11.11", "it was not compiled; DPDK 22.11.11 is here now", "pip install --force-reinstall"),
    ],
)
def test_a_missing_native_module_is_explained(
    monkeypatch: pytest.MonkeyPatch, version: str | None, found: str, next_step: str
) -> None:
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(native, "_header_version", lambda: version)
    obstacle = native.missing_native(ImportError("No module named 'framelane_dpdk._native'"))
    assert obstacle.found.startswith(found)
    assert next_step in obstacle.next


def test_another_dpdk_than_the_one_compiled_against_is_named() -> None:
    error = ImportError("librte_ethdev.so.24: cannot open shared object file: No such file or directory")
    assert native.missing_native(error).asked.startswith("DPDK's libraries of ABI 24")


def test_a_probe_starts_no_dpdk_and_ends_in_time() -> None:
    plugin = discover().plugins["dpdk"]
    found = run_probes([plugin], {"dpdk": DpdkSettings(vdev="net_memif", vdev_args={"role": "server"})})["dpdk"]
    assert found.usable, found.obstacles
    assert found.devices is not None


def test_without_headers_the_package_builds_and_installs_python_alone(tmp_path: Path, run_python: Run) -> None:
    package = Path(__file__).parents[1]
    (tmp_path / "pkg-config").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "pkg-config").chmod(0o755)
    source = f"""
import os, subprocess, sys
os.environ["PKG_CONFIG"] = "{tmp_path}/pkg-config"
os.chdir("{package}")
command = [sys.executable, "setup.py", "build", "--build-base", "{tmp_path}/build"]
done = subprocess.run(command, capture_output=True, text=True)
assert done.returncode == 0, done.stderr
assert "installed without its native module: pkg-config knows no libdpdk" in done.stderr, done.stderr
"""
    done = run_python(source)
    assert done.returncode == 0, done.stderr
    built = tmp_path / "build/lib/framelane_dpdk"
    assert (built / "plugin.py").exists()
    assert not list(built.glob("_native*"))
