"""tools/check_vendor_headers.py: what it finds in headers that differ from the stand-in's by a little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SET = ROOT / "tests" / "vendor" / "ciul" / "headers.toml"

Altered = Callable[[str, str, str], Path]


@pytest.fixture
def altered(tmp_path: Path) -> Altered:
    """Make a copy of the stand-in's headers in which one text of a header is another."""

    def alter(header: str, old: str, new: str) -> Path:
        include = tmp_path / "include"
        shutil.copytree(SET.parent / "include", include)
        path = include / "etherfabric" / header
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        return include

    return alter


def check(*arguments: str | Path) -> tuple[int, list[str]]:
    command = [sys.executable, ROOT / "tools" / "check_vendor_headers.py", SET, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, [line for line in done.stdout.splitlines() if "compared" not in line]


@pytest.mark.parametrize(
    ("header", "old", "new", "says"),
    [
        ("pd.h", "EF_PD_EXPRESS = 0x80,", "EF_PD_EXPRESS = 0x81,", ["differs: EF_PD_EXPRESS"]),
        ("base.h", "EF_VI_NIC_PAGE_SHIFT 12", "EF_VI_NIC_PAGE_SHIFT (0xc)", []),
        (
            "base.h",
            "int ef_driver_close(ef_driver_handle dh)",
            "void ef_driver_close(ef_driver_handle dh)",
            ["differs"],
        ),
        ("vi.h", "    int filter_id;\n", "    unsigned filter_id;\n", ["layout: ef_filter_cookie.filter_id"]),
        ("vi.h", "    unsigned q_id;\n} ef_filter_info;", "} ef_filter_info;", ["absent: ef_filter_info.q_id"]),
        ("ef_vi.h", "((event).rx_discard.subtype)", "((event).rx_discard.len)", ["layout: EF_EVENT_RX_DISCARD_TYPE"]),
        ("ef_vi.h", "int (*receive_init)(struct ef_vi *, ef_addr,", "int (*receive_init)(struct ef_vi *,", ["differs"]),
        ("efct_vi.h", "EFCT_FUTURE_VALID_BYTES 62", "EFCT_OTHER 62", ["absent: EFCT_FUTURE_VALID_BYTES"]),
    ],
)
def test_a_difference_is_told_and_only_that(altered: Altered, header: str, old: str, new: str, says: list[str]) -> None:
    status, lines = check(altered(header, old, new))
    assert (status == 1) == bool(says)
    assert len(lines) >= len(says)
    assert all(any(line.startswith(said) for line in lines) for said in says)
    assert status or not lines


def test_an_older_release_may_lack_names_and_not_mean_others(altered: Altered) -> None:
    include = altered("pd.h", "    EF_PD_EXPRESS = 0x80,\n", "")
    assert check(include) == (1, ["absent: EF_PD_EXPRESS"])
    assert check(include, "--older") == (0, ["absent: EF_PD_EXPRESS"])


def test_a_name_that_a_program_uses_must_be_in_the_stand_in(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("ef_vi_alloc_from_pd  # a comment\nef_vi_flags\nEF_EVENT_RX_SOP\nef_vi_fly\n")
    status, lines = check(SET.parent / "include", "--names", names)
    assert (status, lines) == (1, ["differs: ef_vi_fly: is used, and the stand-in does not have it"])
