"""A simulation for each test, its seed printed when the test fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane.testing.simulation import CommandClient
from framelane.testing.simulation import Simulation as DriverWorld
from support.simulation import Simulation


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulation]:
    seed = int(os.environ.get("FRAMELANE_TEST_SEED", "1"))
    print(f"FRAMELANE_TEST_SEED={seed}")
    with Simulation(tmp_path, seed) as simulation:
        yield simulation


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DriverWorld]:
    with DriverWorld(tmp_path) as world:
        yield world


@pytest.fixture
def client(world: DriverWorld) -> CommandClient:
    return world.driver("10.0.0.1").client()
