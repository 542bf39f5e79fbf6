"""The conformance kit on the ef_vi transport, over the stand-in for its library."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.built_plugins import run_cases


@pytest.mark.root
@pytest.mark.timeout(300)
def test_both_receive_models_conform() -> None:
    run_cases([Path(__file__).with_name("efvi_cases.py")], {})
