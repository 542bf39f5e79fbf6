"""The verdict where the plugin is built, with adapters and a native half that a test makes up."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_up_adapters import add_interface, facts_of, machine

from framelane.transport import Verdict
from framelane_efvi import verdict
from framelane_efvi.build import SdkNotFoundError, features, find_sdk
from framelane_efvi.settings import EfviSettings
from framelane_efvi.verdict import make_verdict
from support.vendor import build_ciul

ABILITIES = (
    *("shared_queues", "express", "ctpio", "ctpio_only", "pio", "rx_timestamps", "tx_timestamps", "event_merge"),
    *("replication", "udp6_filters", "vlan_filters", "rx_queue_sizes", "tx_queue_sizes"),
)
MIB = 1 << 20


class MadeUpFfi:
    """As much of cffi as the verdict uses."""

    def new(self, kind: str) -> Any:
        return SimpleNamespace(**dict.fromkeys(ABILITIES, 0)) if "abilities" in kind else bytearray(512)

    def string(self, text: bytes | bytearray) -> bytes:
        return bytes(text).split(b"\0")[0]


class MadeUpLibrary:
    """An SDK that says of its adapter what a test gives, or refuses."""

    FL_EFVI_MTU_MAXIMUM = 4000

    def __init__(self, refusal: str = "", **abilities: int) -> None:
        self.refusal = refusal.encode()
        self.abilities = abilities

    def fl_efvi_version(self) -> bytes:
        return b"10.0"

    def fl_efvi_driver_interface(self) -> bytes:
        return b"abc"

    def fl_efvi_is_stand_in(self) -> int:
        return 0

    def fl_efvi_memory_length(self, *_: int) -> int:
        return 3 * MIB

    def fl_efvi_look(self, _interface: bytes, abilities: Any, text: bytearray, _length: int) -> int:
        vars(abilities).update(self.abilities)
        text[: len(self.refusal)] = self.refusal
        return -19 if self.refusal else 0


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Judge a machine with an X2 on eth2, whose driver is there."""
    monkeypatch.setattr(verdict, "free_huge_pages", lambda: 3)
    add_interface(tmp_path, "eth2", 0x1924, 0x0B03, "sfc")
    made = machine(tmp_path)

    def judge(library: MadeUpLibrary, **settings: Any) -> Verdict:
        return make_verdict(EfviSettings(**settings), made, lambda: (MadeUpFfi(), library))

    return judge


def test_the_only_adapter_is_usable_without_being_named(judge: Any) -> None:
    found = judge(MadeUpLibrary(ctpio=1, pio=1, rx_timestamps=1, event_merge=1))
    facts = facts_of(found)
    assert found.usable and found.devices[0].interface == "eth2"
    assert (facts["sends by"], facts["timestamps"], facts["merged events"]) == ("ctpio, pio, dma", "rx", "yes")
    assert found.capabilities.queues == 2 and found.capabilities.steering


def test_a_refusal_of_the_driver_is_told(judge: Any) -> None:
    (obstacle,) = judge(MadeUpLibrary(refusal="eth2 is no interface that ef_vi drives")).obstacles
    assert obstacle.found == "eth2 is no interface that ef_vi drives"


@pytest.mark.parametrize(
    ("wish", "has", "instead"),
    [
        ({"transmit": "ctpio"}, {"pio": 1}, 'transmit = "auto"'),
        ({"transmit": "dma"}, {"ctpio": 1, "ctpio_only": 1}, 'transmit = "auto"'),
        ({"event_merge": "on"}, {}, 'event_merge = "auto"'),
        ({"datapath": "express"}, {}, 'datapath = "auto"'),
        ({"timestamps": True}, {}, "timestamps = false"),
    ],
)
def test_what_the_adapter_has_not_is_told_with_what_to_set(
    judge: Any, wish: dict[str, Any], has: dict[str, int], instead: str
) -> None:
    found = judge(MadeUpLibrary(**has), **wish)
    assert not found.usable
    assert [one.next for one in found.obstacles] == [f"set transport.efvi.{instead}"]


def test_a_ring_size_that_the_adapter_has_not_is_answered_with_those_that_it_has(judge: Any) -> None:
    library = MadeUpLibrary(rx_queue_sizes=512 | 1024 | 4096, tx_queue_sizes=512)
    (obstacle,) = judge(library, rx_queue_size=2048, tx_queue_size=512).obstacles
    assert (obstacle.asked, obstacle.found) == ("rx_queue_size = 2048", "the adapter has 512, 1024, 4096")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({}, None), ({"rx_queue_size": 2048}, 4), ({"queues": 8}, 4)],  # three are free
)
def test_shared_queues_want_huge_pages(judge: Any, settings: dict[str, int], wanted: int | None) -> None:
    found = judge(MadeUpLibrary(shared_queues=1, ctpio=1, ctpio_only=1), **settings)
    assert found.usable == (wanted is None)
    assert [one.asked.split()[0] for one in found.obstacles] == ([] if wanted is None else [str(wanted)])


def test_locked_memory_is_counted_and_what_is_missing_is_told(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "_may_lock_memory", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (6 * MIB - 1, 6 * MIB - 1))
    (obstacle,) = judge(MadeUpLibrary()).obstacles
    assert obstacle.asked == "6144 KiB of locked memory" and "LimitMEMLOCK=infinity" in obstacle.next
    assert judge(MadeUpLibrary(), queues=1).usable


def test_an_sdk_that_came_after_the_plugin_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = build_ciul()
    monkeypatch.setenv("FRAMELANE_EFVI_INCLUDE", str(sdk / "include"))
    monkeypatch.setenv("FRAMELANE_EFVI_LIBRARY", str(sdk / "lib/libciul1.a"))

    def not_built() -> tuple[Any, Any]:
        raise ModuleNotFoundError("framelane_efvi._native")

    obstacle = make_verdict(EfviSettings(), machine(tmp_path), not_built).obstacles[0]
    assert f"the SDK is there now: {sdk / 'lib/libciul1.a'}" in obstacle.found
    assert obstacle.next == "framelane efvi build"


def test_what_a_release_has_is_found_by_compiling(tmp_path: Path) -> None:
    sdk = build_ciul()
    whole = find_sdk(sdk / "include", sdk / "lib/libciul1.a")
    assert "EXPRESS" in features(whole)
    older = tmp_path / "include/etherfabric"
    older.mkdir(parents=True)
    for header in (sdk / "include/etherfabric").iterdir():
        (older / header.name).write_text(header.read_text().replace("EF_PD_EXPRESS", "EF_PD_OTHERWISE"))
    assert set(features(whole)) - set(features(find_sdk(older.parent, whole.library))) == {"EXPRESS"}


def test_a_missing_library_is_told_with_the_places(tmp_path: Path) -> None:
    sdk = build_ciul()
    with pytest.raises(SdkNotFoundError, match=r"library .*absent\.a not found") as caught:
        find_sdk(sdk / "include", tmp_path / "absent.a")
    assert caught.value.places == (str(tmp_path),)
