"""Fixtures of the DPDK transport's tests.

A process can start DPDK once: what runs here shares one environment of plain pages; what needs another runs in a child.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dpdk_port import Port, buffers, child_environment


@pytest.fixture
def make_port() -> Iterator[Callable[..., Port]]:
    """Make ports; they are closed at the end of the test, which fails if buffers were not given back."""
    before = buffers()
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Port:
            port = Port(**settings)
            stack.callback(port.close)
            return port

        yield make
    assert buffers() == before, "pools, buffers and buffers in use"


@pytest.fixture
def ring_pair(make_port: Callable[..., Port]) -> tuple[Port, Port]:
    settings = {"vdev": "net_ring", "vdev_args": {"link": "pair"}}
    return make_port(**settings), make_port(**settings)


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python source in a process of its own, with the tests' modules importable."""

    def run(source: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, sys.executable, "-c", source, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=child_environment(),
        )

    return run
