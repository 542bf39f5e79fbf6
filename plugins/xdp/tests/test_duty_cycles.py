"""What a million duty cycles cost besides the work: no allocation, and few system calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import framelane_abi

pytestmark = pytest.mark.root

PLUGIN = Path(__file__).resolve().parent.parent
CYCLES = 1_000_000
WRAPPED = ("malloc", "calloc", "realloc", "aligned_alloc", "mmap")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    pytest.importorskip("framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError)
    target = tmp_path_factory.mktemp("program") / "duty_cycles"
    sources = [Path(__file__).parent / "duty_cycles.c", *sorted((PLUGIN / "c").glob("*.c"))]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    include = [f"-I{framelane_abi.get_include()}", f"-I{PLUGIN / 'c'}"]
    wrap = [f"-Wl,--wrap={name}" for name in WRAPPED]
    subprocess.run(["cc", *flags, *include, *sources, *wrap, "-lxdp", "-lbpf", "-o", target], check=True)
    return target


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_a_million_duty_cycles_allocate_nothing_and_make_few_calls(make_veth, program, mtu):
    veth = make_veth(mtu=mtu)
    told = veth.run(veth.near, str(program), str(CYCLES), f"/run/netns/{veth.far}")
    sent, received, kicks, before, during = map(int, told.split())
    assert sent > CYCLES // 64 * 32
    assert received > sent * 0.99
    assert 0 < kicks <= sent // 32
    assert before > 0  # so they are counted
    assert during == 0
