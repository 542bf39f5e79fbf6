"""A million duty cycles of netstacks on devices allocate nothing; ``test_netstack_allocations.c`` has it in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import framelane_abi
from support.namespaces import Link
from support.transfers import ENVIRONMENT

CYCLES = 1_000_000
SOURCE = Path(__file__).parents[1] / "support" / "duty_cycles.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("library") / "duty_cycles.so"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    command = ["cc", *flags, "-shared", "-fPIC", f"-I{framelane_abi.get_include()}", SOURCE, "-o", target]
    subprocess.run(command, check=True, timeout=60)
    return target


def count(library: Path, kind: str, *namespaces: str) -> tuple[int, int]:
    """Return the runs that were received and the allocations, of a process of its own."""
    command = [sys.executable, "-m", "support.duty_cycles", kind, str(CYCLES), *namespaces]
    environment = os.environ | ENVIRONMENT | {"LD_PRELOAD": str(library)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    received, allocated = map(int, done.stdout.split())
    return received, allocated


def test_a_million_duty_cycles_over_rings_of_dpdk_allocate_nothing(library: Path) -> None:
    pytest.importorskip("framelane_dpdk._native", reason="built without libdpdk", exc_type=ImportError)
    received, allocated = count(library, "ring")
    assert received > CYCLES / 8
    assert allocated == 0


@pytest.mark.root
def test_a_million_duty_cycles_over_af_xdp_allocate_nothing(library: Path, link: Link) -> None:
    pytest.importorskip("framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError)
    received, allocated = count(library, "xdp", link.left, link.right)
    assert received > CYCLES / 16
    assert allocated == 0
