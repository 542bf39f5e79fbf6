"""For system and interop tests: real processes, namespaces and directories on tmpfs."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespaces import Link, linked_namespaces
from support.processes import Processes


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory on tmpfs, for driver directories and files that are streamed."""
    path = Path(tempfile.mkdtemp(prefix="framelane-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def processes(tmp_path: Path, shared: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as running:
        yield running


@pytest.fixture
def link() -> Iterator[Link]:
    with linked_namespaces() as joined:
        yield joined


@pytest.fixture
def port() -> int:
    """A UDP port of the loopback interface that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        chosen: int = probe.getsockname()[1]
        return chosen


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("FRAMELANE_TEST_SEED", "1"))
    print(f"FRAMELANE_TEST_SEED={chosen}")
    return chosen
