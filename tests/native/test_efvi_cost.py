"""What a packet costs over ef_vi, ours beside a bare loop on the same stand-in: instructions, which repeat exactly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "efvi_cost.py"
#: Times as many instructions as the bare loop's, over one stand-in; and without it, where compilers differ more.
BOUND, BOUND_WITHOUT_STAND_IN = 1.25, 1.3


@pytest.fixture(scope="module")
def efvi_cost() -> Any:
    spec = importlib.util.spec_from_file_location("efvi_cost", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.programs("cc", "valgrind")
@pytest.mark.parametrize("length", [64, pytest.param(1408, marks=pytest.mark.acceptance)])
def test_a_packet_costs_at_most_a_quarter_more_instructions_than_in_a_bare_loop(efvi_cost: Any, length: int) -> None:
    rows = efvi_cost.measure([length])
    assert {(row.direction, row.model) for row in rows} == {
        (direction, model) for direction in ("receive", "transmit") for model in ("x2522", "x3522")
    }
    for row in rows:
        assert row.ratio <= BOUND_WITHOUT_STAND_IN, row
        assert row.ratio_with_stand_in <= BOUND, row
        # Both ask the stand-in for the same, so nothing of the comparison hides in it.
        assert row.path.stand_in == pytest.approx(row.floor.stand_in, rel=0.01), row
