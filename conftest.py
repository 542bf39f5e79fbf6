"""What holds for every test: markers say what it needs, a skip is a failure where everything is supposed to run, SIGINT
interrupts, and tests that share something of the machine are not run beside each other."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator
from typing import Any

import pytest

#: What runs one after another where ``make test`` runs two tests at once: what shares a device or DPDK's environment,
#: and what changes settings of the whole machine's network. The tests of one file never run at once either.
_GROUPS = {
    "stand-ins": (
        "plugins/efvi",
        "tests/conformance/test_efvi",
        "tests/system/test_efvi",
    ),
    "devices": (
        "plugins/dpdk",
        "plugins/xdp",
        "tests/conformance/test_dpdk",
        "tests/conformance/test_xdp",
        "tests/system/test_allocations",
        "tests/system/test_device_transports",
        "tests/system/test_gateway",
        "tests/system/test_lost_ports",
        "tests/system/test_obstacles",
        "tests/system/test_system_calls",
        "tests/system/test_xdp_coexistence",
    ),
    "netstack": (
        "tests/protocol/netstack",
        "tests/system/test_control_and_kernel",
        "tests/system/test_kernel",
        "tests/system/test_netstack_and_kernel",
        "tests/system/test_port_holders",
    ),
}

#: Groups and folders, the longest first.
_LONGEST = ("devices", "tests/system/test_bench", "stand-ins", "netstack", "tests/packaging", "tests/system")

# A shell that starts the tests in the background has them ignore SIGINT, and so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A driver that waits for its processor is not dead: for clients of this process, in milliseconds.
os.environ.setdefault("AERON_DRIVER_TIMEOUT", "60000")


def group_of(path: str) -> str:
    """Return the group of a test file, by its path from here."""
    for group, prefixes in _GROUPS.items():
        if path.startswith(prefixes):
            return group
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it at the end; see the Makefile."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place_of(group_of(item.nodeid.split("::", 1)[0])))


def _place_of(group: str) -> int:
    return next((place for place, prefix in enumerate(_LONGEST) if group.startswith(prefix)), len(_LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand whole groups to the processes that run tests. Called by pytest-xdist, where it is used."""
    from xdist.scheduler import LoadScopeScheduling

    class LoadGroups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.split("::", 1)[0])

    return LoadGroups(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name whole frames by a number: their bytes are no name, and the ports in them differ between processes."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this user may not do, or this machine has no programs for, before anything is set up."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        pytest.skip("needs root")
    wanted = (name for marker in item.iter_markers("programs") for name in marker.args)
    absent = [name for name in wanted if shutil.which(name) is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}; tools/install-packages says of which package")


def _refuse_skip(report: Any) -> None:
    report.outcome = "failed"
    report.longrepr = f"skipped under FRAMELANE_CI=1: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Under ``FRAMELANE_CI=1`` fail what is skipped as a whole, such as for a module that was not built."""
    report = yield
    if report.skipped and os.environ.get("FRAMELANE_CI") == "1":
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``FRAMELANE_CI=1`` fail what is skipped, unless it waits for a device."""
    report = yield
    is_refused = os.environ.get("FRAMELANE_CI") == "1" and item.get_closest_marker("hardware") is None
    if report.skipped and is_refused:
        _refuse_skip(report)
    return report
