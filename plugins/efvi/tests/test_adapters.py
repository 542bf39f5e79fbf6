"""Machines with and without adapters, as trees of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up_adapters import ADDRESS, add_interface, facts_of, machine

from framelane.transport import Verdict
from framelane.transport.hardware import find_hardware
from framelane_efvi.adapters import Machine, find_adapters
from framelane_efvi.settings import EfviSettings
from framelane_efvi.verdict import make_verdict


def not_built() -> tuple[Any, Any]:
    raise ModuleNotFoundError("framelane_efvi._native")


def verdict_on(made: Machine, **settings: Any) -> Verdict:
    return make_verdict(EfviSettings(**settings), made, not_built)


@pytest.mark.parametrize(
    ("vendor", "device", "driver", "words"),
    [
        (0x1924, 0x0A03, "sfc", ("SFN8000 (SFC9200)", "descriptor rings", "sends by PIO", "activation key")),  # SFN8522
        (0x1924, 0x0B03, "sfc", ("X2 (SFC9250)", "descriptor rings", "sends by CTPIO", "activation key")),  # X2522
        (0x10EE, 0x5084, "xilinx_efct", ("X3", "shared receive queues", "sends by CTPIO")),  # X3522
    ],
    ids=["SFN8522", "X2522", "X3522"],
)
def test_an_adapter_is_described(tmp_path: Path, vendor: int, device: int, driver: str, words: tuple[str, ...]) -> None:
    add_interface(tmp_path, "eth2", vendor, device, driver, numa_node=1)
    verdict = verdict_on(machine(tmp_path))
    text = facts_of(verdict)["adapter eth2"]
    expected = (*words, f"{ADDRESS} ({vendor:04x}:{device:04x})", f"driver {driver}", "firmware 8.3.3.1000 rx0 tx0")
    assert [word for word in (*expected, "NUMA node 1", "link up, 10000 Mb/s", "MTU 1500") if word not in text] == []
    assert find_hardware(tmp_path / "sys")["efvi"] == (f"{ADDRESS} (eth2)",)
    # Only that it was not built stands in the way.
    (obstacle,) = verdict.obstacles
    assert (verdict.usable, obstacle.asked) == (False, "the native module framelane_efvi._native")


def test_what_is_missing_where_nothing_is_installed_is_said_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CPPFLAGS", "-nostdinc")  # also where the SDK is installed
    monkeypatch.setattr("framelane_efvi.build._LIBRARY", "libciul1-absent.a")
    native, adapter, driver = verdict_on(machine(tmp_path, has_device=False)).obstacles
    assert "SDK of ef_vi is missing" in native.found and "libciul1-absent.a" in native.found
    assert "/usr/include" in native.where and "/usr/lib64" in native.where
    assert "openonload-devel" in native.next and "framelane efvi build" in native.next
    assert "there is none" in adapter.found
    assert "does not exist" in driver.found and "modprobe sfc_char" in driver.next


def test_an_ordinary_device_is_no_adapter(tmp_path: Path) -> None:
    add_interface(tmp_path, "eth0", 0x8086, 0x1521, "igb")
    (tmp_path / "sys/class/net/lo").mkdir()
    assert find_adapters(machine(tmp_path)) == ()


def test_an_adapter_of_another_driver_is_shown_and_not_chosen(tmp_path: Path) -> None:
    add_interface(tmp_path, "eth2", 0x1924, 0x0B03, "vfio-pci")
    verdict = verdict_on(machine(tmp_path))
    assert not verdict.usable
    assert [one.found for one in verdict.obstacles[1:]] == ["it has the driver vfio-pci"]


def test_several_adapters_want_a_choice_and_a_wrong_one_is_answered_with_what_there_is(tmp_path: Path) -> None:
    add_interface(tmp_path, "eth2", 0x1924, 0x0B03, "sfc")
    add_interface(tmp_path, "eth3", 0x1924, 0x0B03, "sfc", address="0000:3b:00.1", carrier=0)
    made = machine(tmp_path)
    undecided = verdict_on(made).obstacles[1]
    assert "several: eth2, eth3" in undecided.found and 'interface = "eth2"' in undecided.next
    wrong = verdict_on(made, interface="bond0").obstacles[1]
    assert "there are: eth2, eth3" in wrong.found
    without_link = verdict_on(made, interface="eth3").obstacles[1]
    assert without_link.found == "it has no link"


def test_what_cannot_be_read_without_link_is_not_told(tmp_path: Path) -> None:
    add_interface(tmp_path, "eth2", 0x1924, 0x0A03, "sfc", numa_node=-1, speed=-1)
    (tmp_path / "sys/class/net/eth2/carrier").unlink()
    (adapter,) = find_adapters(machine(tmp_path))
    assert (adapter.numa_node, adapter.link, adapter.speed_mbps) == (None, "no link", None)


def test_a_device_that_this_user_may_not_open_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_interface(tmp_path, "eth2", 0x1924, 0x0B03, "sfc")
    made = machine(tmp_path)
    made.device.chmod(0o640)
    monkeypatch.setattr("framelane_efvi.verdict.os.access", lambda *_: False)  # root may everything
    refused = verdict_on(made).obstacles[1]
    assert "mode 640" in refused.found and "SFC_CHAR_GROUP" in refused.next
