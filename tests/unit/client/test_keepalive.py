"""The native sign of life, with a command and control file that the test writes as the driver."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.shm.cnc import CncFile, CncParams
from framelane.shm.counter_types import CounterType, heartbeat_key
from support.processes import wait_until

CLIENT_ID = 42
TIMEOUT_MS = 300
LIMIT_S = 60.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def cnc(tmp_path: Path) -> Iterator[CncFile]:
    with CncFile.create(tmp_path / "cnc.dat", CncParams(start_timestamp_ms=now_ms(), pid=1)) as cnc:
        cnc.to_driver().set_heartbeat_ms(now_ms() + 60_000)
        cnc.ready()
        yield cnc


@pytest.fixture
def start(cnc: CncFile) -> Iterator[Callable[[], Any]]:
    running = []

    def begin() -> Any:
        keepalive = lib.fl_keepalive_start(cnc.native, CLIENT_ID, 10_000_000, TIMEOUT_MS, b" name=test", -1)
        assert keepalive != ffi.NULL
        running.append(keepalive)
        return keepalive

    yield begin
    for keepalive in running:
        lib.fl_keepalive_stop(keepalive)


def test_the_heartbeat_counter_is_named_and_kept_fresh(cnc: CncFile, start: Callable[[], Any]) -> None:
    manager = cnc.counters_manager()
    start()
    freed = manager.allocate(CounterType.CLIENT_HEARTBEAT, "other", heartbeat_key(7), now_ms=now_ms())
    manager.free(freed, now_ms=now_ms())
    label = f"client-heartbeat: id={CLIENT_ID}"
    own = manager.allocate(CounterType.CLIENT_HEARTBEAT, label, heartbeat_key(CLIENT_ID), now_ms=now_ms())
    counters = cnc.counters()
    wait_until(lambda: (found := counters.get(own)) is not None and found.label == label + " name=test")
    began = counters.value(own)
    wait_until(lambda: counters.value(own) > began)


def test_a_closed_driver_is_noticed(cnc: CncFile, start: Callable[[], Any]) -> None:
    keepalive = start()
    assert lib.fl_keepalive_state(keepalive) == lib.FL_KEEPALIVE_RUNNING
    cnc.to_driver().set_heartbeat_ms(-1)
    wait_until(lambda: lib.fl_keepalive_state(keepalive) == lib.FL_KEEPALIVE_DRIVER_CLOSED)


def test_a_dead_driver_is_noticed_after_the_driver_timeout(cnc: CncFile, start: Callable[[], Any]) -> None:
    keepalive = start()
    beat = now_ms()
    cnc.to_driver().set_heartbeat_ms(beat)
    wait_until(lambda: lib.fl_keepalive_state(keepalive) != lib.FL_KEEPALIVE_RUNNING)
    assert lib.fl_keepalive_state(keepalive) == lib.FL_KEEPALIVE_DRIVER_DEAD
    assert now_ms() > beat + TIMEOUT_MS


def test_a_freed_heartbeat_counter_is_noticed_and_not_written(cnc: CncFile, start: Callable[[], Any]) -> None:
    manager = cnc.counters_manager(cool_down_ms=0)
    keepalive = start()
    own = manager.allocate(CounterType.CLIENT_HEARTBEAT, "heartbeat", heartbeat_key(CLIENT_ID), now_ms=now_ms())
    wait_until(lambda: cnc.counters().value(own) > 0)
    manager.free(own, now_ms=now_ms())
    wait_until(lambda: lib.fl_keepalive_state(keepalive) == lib.FL_KEEPALIVE_COUNTER_LOST)
