"""The test aids of a live driver are configured like everything else."""

from __future__ import annotations

import pytest

from framelane.driver.debug import Faults
from framelane.driver.settings import load_settings
from framelane.errors import ConfigError
from framelane.transport.wrappers import FaultDirection


def test_faults_are_parsed_and_shown() -> None:
    faults = Faults().parse("loss=0.01,reorder=1,jitter=2ms")
    assert faults == FaultDirection(loss=0.01, reorder=1.0, jitter_ns=2_000_000)
    assert Faults().parse(Faults().show(faults)) == faults
    assert Faults().parse("") is None


@pytest.mark.parametrize("text", ["loss=2", "loss=nan", "los=0.1", "loss", "delay=1h"])
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="debug_send_faults"):
        load_settings(environ={}, overrides=[f"driver.debug_send_faults={text}"])
