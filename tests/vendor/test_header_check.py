"""tools/check_vendor_headers.py: what it finds in headers that differ from the stand-in's by a little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SET = ROOT / "tests" / "vendor" / "ciul" / "headers.toml"
VMA_SET = ROOT / "tests" / "vendor" / "vma" / "headers.toml"

#: Header, text, text instead, and what is said of it.
ALTERATIONS = [
    ("pd.h", "EF_PD_EXPRESS = 0x80,", "EF_PD_EXPRESS = 0x81,", "differs: EF_PD_EXPRESS"),
    ("pd.h", "    EF_PD_VPORT = 0x8,\n", "", "absent: EF_PD_VPORT"),
    ("base.h", "EF_VI_NIC_PAGE_SHIFT 12", "EF_VI_NIC_PAGE_SHIFT (0xc)", None),
    ("base.h", "int ef_driver_close(", "void ef_driver_close(", "differs: ef_driver_close()"),
    ("vi.h", "    int filter_id;\n", "    unsigned filter_id;\n", "layout: ef_filter_cookie.filter_id"),
    ("vi.h", "    unsigned q_id;\n} ef_filter_info;", "} ef_filter_info;", "absent: ef_filter_info.q_id"),
    ("ef_vi.h", "((event).rx_discard.subtype)", "((event).rx_discard.len)", "layout: EF_EVENT_RX_DISCARD_TYPE"),
    (
        "ef_vi.h",
        "(*receive_init)(struct ef_vi *, ef_addr,",
        "(*receive_init)(struct ef_vi *,",
        "differs: ef_vi_receive_init()",
    ),
    ("efct_vi.h", "EFCT_FUTURE_VALID_BYTES 62", "EFCT_OTHER 62", "absent: EFCT_FUTURE_VALID_BYTES"),
]


@pytest.fixture
def altered(tmp_path: Path) -> Path:
    """A copy of the stand-in's headers in which some texts are others."""
    include = tmp_path / "include"
    shutil.copytree(SET.parent / "include", include)
    for header, old, new, _ in ALTERATIONS:
        path = include / "etherfabric" / header
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    return include


def check(*arguments: str | Path, described: Path = SET) -> tuple[int, list[str]]:
    command = [sys.executable, ROOT / "tools" / "check_vendor_headers.py", described, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, [line for line in done.stdout.splitlines() if "compared" not in line]


def test_every_difference_is_told_under_its_kind(altered: Path) -> None:
    status, lines = check(altered)
    said = {line.partition(": the stand-in has")[0] for line in lines}
    assert status == 1
    assert said >= {says for *_, says in ALTERATIONS if says is not None}
    # Beside those only what follows from them: a longer or shorter struct, and the entry whose arguments changed.
    follow = {"layout: ef_filter_info", "differs: ef_vi.ops.receive_init type"}
    assert said - {says for *_, says in ALTERATIONS} == follow


def test_an_older_release_may_lack_names_and_not_mean_others(tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(SET.parent / "include", include)
    path = include / "etherfabric" / "pd.h"
    path.write_text(path.read_text().replace("    EF_PD_EXPRESS = 0x80,\n", ""))
    assert check(include) == (1, ["absent: EF_PD_EXPRESS"])
    assert check(include, "--older") == (0, ["absent: EF_PD_EXPRESS"])


def test_a_name_that_a_program_uses_must_be_in_the_stand_in(tmp_path: Path) -> None:
    program = tmp_path / "program.c"
    program.write_text(
        "#include <etherfabric/ef_vi.h>\n/* ef_vi_swim */\n"
        "#define TYPE(name) EF_EVENT_TYPE_##name\n"
        'int main(void) { ef_vi vi; puts("EF_NAME"); return ef_vi_fly(&vi, ef_vi_flags(&vi)); } // ef_vi_walk\n'
    )
    status, lines = check(SET.parent / "include", "--used-in", tmp_path)
    assert (status, lines) == (1, ["differs: ef_vi_fly: is used, and the stand-in does not have it"])


def test_vma_is_compared_with_the_stand_in_and_with_the_plugins_own_declarations(tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(VMA_SET.parent / "include", include)
    assert check(include, described=VMA_SET) == (0, [])
    header = include / "mellanox" / "vma_extra.h"
    text = header.read_text()
    for old, new in (
        ("SO_VMA_GET_API 2800", "SO_VMA_GET_API 2801"),
        ("int (*get_socket_rings_num)(int fd);", "void *more; int (*get_socket_rings_num)(int fd, int more);"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    header.write_text(text)
    status, lines = check(include, described=VMA_SET)
    assert status == 1
    said = "\n".join(lines)
    assert "differs: SO_VMA_GET_API: the stand-in has 2800; the SDK has 2801" in said
    assert "differs: FL_VMA_SO_GET_API is SO_VMA_GET_API: 2800, and the SDK has 2801" in said
    assert "differs: struct vma_api_t.get_socket_rings_num type" in said
    assert (
        "offsetof(fl_vma_api_t, supported_mask) is offsetof(struct vma_api_t, vma_extra_supported_mask): 152, " in said
    )
    assert ">get_socket_rings_num)) is 1: 0, and the SDK has 1" in said
