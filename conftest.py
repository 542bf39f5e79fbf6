"""What holds for every test: a skip is a failure where everything is supposed to run, and SIGINT interrupts."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# A shell that starts the tests in the background has them ignore SIGINT, and so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A driver that waits for its processor is not dead: for clients of this process, in milliseconds.
os.environ.setdefault("AERON_DRIVER_TIMEOUT", "60000")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``FRAMELANE_CI=1`` fail what is skipped, unless it waits for a device."""
    report = yield
    is_expected_failure = hasattr(report, "wasxfail")
    is_refused = os.environ.get("FRAMELANE_CI") == "1" and item.get_closest_marker("hardware") is None
    if report.skipped and not is_expected_failure and is_refused:
        report.outcome = "failed"
        report.longrepr = f"skipped under FRAMELANE_CI=1: {report.longrepr}"
    return report
