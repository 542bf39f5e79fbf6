"""The ef_vi port over the stand-in for its library; port_cases.py has the cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.built_plugins import run_cases


@pytest.mark.root
@pytest.mark.timeout(300)
def test_the_port_keeps_its_contract() -> None:
    cases = Path(__file__).with_name("port_cases.py")
    run_cases(cases, {}, prefix=["unshare", "--net"])
