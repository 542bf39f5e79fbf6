"""The settings, from the table, the premium driver's file, and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from framelane.driver.settings import load_settings
from framelane_efvi.plugin import native_settings
from framelane_efvi.settings import EfviSettings


def test_sizes_that_are_not_set_are_left_to_the_library_and_its_environment() -> None:
    native = native_settings(EfviSettings(interface="eth2", rx_queue_size=2048))
    assert (native["rx_queue_size"], native["tx_queue_size"], native["event_queue_size"]) == (2048, -1, -1)


def test_flags_and_choices_reach_the_native_half() -> None:
    given = {"transmit": "pio", "event_merge": "off", "datapath": "enterprise", "vi_flags": ["tx_push_always"]}
    native = native_settings(EfviSettings(interface="eth2", **given))
    assert [native[name] for name in ("transmit", "event_merge", "datapath", "vi_flags")] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rx_queue_size": 1000}, "not a power of two"),
        ({"neighbours": "own"}, "stay with Linux"),
        ({"vi_flags": ["tx_push_always", "tx_push_disable"]}, "exclude each other"),
        ({"ring_size": 512}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EfviSettings.model_validate(given)


def test_the_file_of_the_premium_driver_fills_what_is_not_set(tmp_path: Path) -> None:
    file = tmp_path / "ef_vi.conf"
    file.write_text("# for the left port\nEF_VI_RXQ_SIZE = 4096\nEF_VI_TXQ_SIZE=1024\n\ninterface=eth3\n")
    settings = load_settings(
        environ={"AERON_EF_VI_CONF_FILE": str(file), "FRAMELANE_TRANSPORT_EFVI_INTERFACE": "eth2"}
    ).transport.plugins["efvi"]
    assert isinstance(settings, EfviSettings)
    assert (settings.interface, settings.rx_queue_size, settings.tx_queue_size) == ("eth2", 4096, 1024)


def test_every_line_of_it_that_is_not_understood_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ef_vi.conf"
    file.write_text("EF_VI_RXQ_SIZ=4096\ninterface=eth3\nwhat is this\n")
    with pytest.raises(ValidationError) as caught:
        EfviSettings(conf_file=file)
    text = str(caught.value)
    assert "line 1: 'EF_VI_RXQ_SIZ=4096'; did you mean ef_vi_rxq_size?" in text
    assert "line 3: 'what is this'" in text and "line 2" not in text
