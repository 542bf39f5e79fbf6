"""The ef_vi port over the stand-in for its library; the cases are in receive_, transmit_ and refusal_cases.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.built_plugins import run_cases


@pytest.mark.root
@pytest.mark.timeout(300)
def test_the_port_keeps_its_contract() -> None:
    cases = [Path(__file__).with_name(f"{part}_cases.py") for part in ("receive", "transmit", "refusal")]
    run_cases(cases, {}, prefix=["unshare", "--net"])
