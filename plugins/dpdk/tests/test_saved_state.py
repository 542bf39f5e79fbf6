"""What is kept of an interface that DPDK takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framelane_dpdk import saved_state
from framelane_dpdk.saved_state import SavedInterface, SavedRoute, SavedStateError

STATE = SavedInterface(
    pci_address="0000:03:00.0",
    interface="eth2",
    addresses=("10.1.0.5/24", "fd00::5/64"),
    gateway=("10.1.0.1",),
    routes=(SavedRoute("10.2.0.0/16", via="10.1.0.9", metric=50), SavedRoute("fd01::/32")),
    mtu=9000,
    driver="ena",
    mac="02:00:00:00:00:05",
)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(saved_state.STATE_DIRECTORY_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_was_saved_is_loaded_and_a_later_save_replaces_it() -> None:
    assert saved_state.load("0000:03:00.0") is None
    saved_state.save(STATE)
    assert saved_state.load("0000:03:00.0") == STATE
    saved_state.save(replace(STATE, mtu=1500))
    loaded = saved_state.load("0000:03:00.0")
    assert loaded is not None
    assert loaded.mtu == 1500
    assert saved_state.find("eth2") == loaded
    assert saved_state.find("eth3") is None
    saved_state.forget("0000:03:00.0")
    saved_state.forget("0000:03:00.0")
    assert saved_state.load("0000:03:00.0") is None


def test_a_failed_save_leaves_the_old_state_and_nothing_else(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved_state.save(STATE)

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_state.os, "fsync", fail)
    with pytest.raises(SavedStateError, match="No space left"):
        saved_state.save(replace(STATE, mtu=1500))
    assert saved_state.load("0000:03:00.0") == STATE
    assert [path.name for path in directory.iterdir()] == ["0000:03:00.0.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "pci_address": "0000:03:00.0"}', '{"format": 1, "unknown": 1}'],
)
def test_a_damaged_file_is_named_with_what_to_do(directory: Path, text: str) -> None:
    directory.mkdir()
    (directory / "0000:03:00.0.json").write_text(text)
    with pytest.raises(SavedStateError, match=r"0000:03:00\.0\.json is damaged .*; delete it"):
        saved_state.load("0000:03:00.0")


@pytest.mark.parametrize("name", ["../../etc/passwd", "03:00.0", "0000:03:00.8", "0000:03:00.0\n", ""])
def test_a_name_that_is_no_pci_address_never_becomes_a_path(name: str) -> None:
    with pytest.raises(SavedStateError, match="no PCI address"):
        saved_state.load(name)
    with pytest.raises(ValueError, match="no PCI address"):
        replace(STATE, pci_address=name)


@pytest.mark.parametrize(
    "wrong", [{"addresses": ("10.1.0.300/24",)}, {"gateway": ("x",)}, {"mtu": 3}, {"interface": "a/b"}]
)
def test_what_is_no_address_is_refused_before_it_is_saved(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(STATE, **wrong)  # type: ignore[arg-type]
