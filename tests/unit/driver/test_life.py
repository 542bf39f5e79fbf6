"""The driver's threads, and its end as seen by threads and processes that come too late."""

import os
import threading
from pathlib import Path

import pytest

from framelane.driver.media_driver import MediaDriver
from framelane.driver.resources import Lane


def test_waking_a_driver_that_has_closed_does_nothing(tmp_path: Path) -> None:
    # As when close() sets its mark, the control thread sees that and ends, and only then close() goes on to wake it.
    driver = MediaDriver.launch(dir=tmp_path / "driver", threading_mode="SHARED")
    driver.close()
    driver.plane.wake()


def test_an_invoker_does_no_work_in_a_forked_child(tmp_path: Path) -> None:
    with MediaDriver.launch(dir=tmp_path / "driver", threading_mode="INVOKER") as driver:
        child = os.fork()
        if child == 0:
            try:
                status = driver.do_work()
                driver.close()
            except BaseException:
                status = 77
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (driver.directory / "cnc.dat").exists()
        driver.do_work()


def test_no_lane_waits_for_the_helper_thread_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes, init, before = [], Lane.__init__, set(threading.enumerate())

    def count(lane: Lane, slow_work: object) -> None:
        lanes.append(lane)
        init(lane, slow_work)  # type: ignore[arg-type]

    monkeypatch.setattr(Lane, "__init__", count)
    names = {"driver_resolver_name": "me", "driver_resolver_interface": "127.0.0.1"}
    with MediaDriver.launch(dir=tmp_path / "driver", threading_mode="SHARED", **names):
        helpers = [one for one in set(threading.enumerate()) - before if one.name.startswith("framelane-helper-")]
    assert len(helpers) == len(lanes)
