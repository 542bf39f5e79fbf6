"""Parts of the control plane that need no data plane."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from framelane.driver.plane_config import resolve_threading_mode
from framelane.driver.resources import Inline, Lane, slowly
from framelane.transport.spec import Capabilities, Verdict


class ByHand:
    """Slow work that ends when the test says so."""

    def __init__(self):
        self.waiting = []

    def submit(self, function):
        future = Future()
        self.waiting.append((function, future))
        return future

    def finish(self):
        function, future = self.waiting.pop(0)
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)

    def close(self):
        pass


def task(name, into, work=lambda: None):
    into.append(f"{name} begins")
    try:
        result = yield from slowly(work)
        into.append(f"{name} has {result}")
    except ValueError as error:
        into.append(f"{name} sees {error}")
    finally:
        into.append(f"{name} ends")


def fail():
    raise ValueError("trouble")


def test_tasks_of_a_lane_run_one_after_another():
    work, seen = ByHand(), []
    lane = Lane(work)
    lane.start(task("first", seen, lambda: 1))
    lane.start(task("second", seen, lambda: 2))
    assert seen == ["first begins"]
    assert lane.advance() == 0

    work.finish()
    lane.advance()
    assert seen[1:] == ["first has 1", "first ends", "second begins"]
    work.finish()
    lane.advance()

    assert seen[4:] == ["second has 2", "second ends"]
    assert lane.is_idle


def test_an_error_of_slow_work_is_raised_in_its_task():
    seen = []
    lane = Lane(Inline())

    lane.start(task("one", seen, fail))

    assert seen == ["one begins", "one sees trouble", "one ends"]
    assert lane.is_idle


def test_a_closed_lane_lets_its_tasks_clean_up():
    seen = []
    lane = Lane(ByHand())
    lane.start(task("one", seen))

    lane.close()

    assert seen == ["one begins", "one ends"]
    assert lane.is_idle


@pytest.mark.parametrize(
    ("mode", "queues", "cores", "resolved"),
    [
        ("AUTO", 0, 8, "DEDICATED"),
        ("AUTO", 0, 3, "SHARED_NETWORK"),
        ("AUTO", 0, 2, "SHARED"),
        ("AUTO", 1, 8, "SHARED_NETWORK"),
        ("AUTO", 1, 2, "SHARED"),
        ("DEDICATED", 1, 1, "DEDICATED"),
        ("INVOKER", 0, 8, "INVOKER"),
    ],
)
def test_the_threading_mode_follows_cores_and_queues(mode, queues, cores, resolved):
    verdicts = [Verdict(usable=True, capabilities=Capabilities(queues=queues))]

    assert resolve_threading_mode(mode, verdicts, cores) == resolved


def test_a_transport_that_cannot_be_used_does_not_decide_the_threading_mode():
    verdicts = [Verdict(usable=False, capabilities=Capabilities(queues=1))]

    assert resolve_threading_mode("AUTO", verdicts, 8) == "DEDICATED"
