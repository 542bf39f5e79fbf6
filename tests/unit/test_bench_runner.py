"""How benchmarks take turns, and how far both sides are from each other."""

from __future__ import annotations

import os
import threading

from framelane._native import ffi, lib
from framelane.bench import Measurement
from framelane.bench.runner import alternate
from support.processes import wait_until


def measurements(*rows):
    """Return a function that gives measurements of these values and hand-overs, one after another."""
    left = [Measurement(value, handover_ns=handover_ns) for value, handover_ns in rows]
    return lambda: left.pop(0)


def test_a_turn_on_processors_unlike_far_apart_is_taken_again():
    ours = measurements((1, 55), (2, 60), (3, 190))
    floor = measurements((10, 185), (20, 58), (30, 200))
    steps = []

    taken = alternate([ours, floor], 2, lambda: steps.append(1))

    assert [[one.value for one in side] for side in taken] == [[2, 3], [20, 30]]
    assert len(steps) == 4  # what was taken again is no step of its own


def test_as_many_turns_as_half_of_the_runs_are_taken_again_at_most():
    count = []

    def far_and_near():
        count.append(1)
        return Measurement(len(count), handover_ns=50 if len(count) % 2 else 500)

    taken = alternate([far_and_near, far_and_near], 4, lambda: None)

    assert len(count) == 2 * (4 + 2) and [len(side) for side in taken] == [4, 4]


def test_sides_that_share_a_processor_compare_with_their_like_alone():
    ours = measurements((1, None), (2, None), (3, None))
    floor = measurements((10, 80), (20, None), (30, None))
    taken = alternate([ours, floor], 2, lambda: None)
    assert [[one.value for one in side] for side in taken] == [[2, 3], [20, 30]]


def handover(processors):
    """Measure between two threads on these processors."""
    memory = ffi.new("char[]", lib.FL_BENCH_HANDOVER_LENGTH + 64)
    start = memory + -int(ffi.cast("uintptr_t", memory)) % 64
    waits, other = os.pipe()

    def follow():
        os.sched_setaffinity(0, {processors[1]})
        lib.fl_bench_handover_follow(start, waits)

    def lead():
        os.sched_setaffinity(0, {processors[0]})
        found.append(lib.fl_bench_handover_lead(start))

    found = []
    threads = [threading.Thread(target=target) for target in (follow, lead)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    os.close(waits)
    os.close(other)
    return found[0]


def test_a_hand_over_takes_time_between_two_processors_and_none_within_one():
    processors = sorted(os.sched_getaffinity(0))
    assert handover((processors[0], processors[0])) == 0
    if len(processors) > 1:
        # None is found between two while others keep both busy.
        wait_until(lambda: handover(processors[:2]) > 0, "a hand-over between two processors")


def test_a_following_side_that_nobody_leads_ends_with_the_other_process():
    memory = ffi.new("char[]", lib.FL_BENCH_HANDOVER_LENGTH + 64)
    start = memory + -int(ffi.cast("uintptr_t", memory)) % 64
    waits, other = os.pipe()
    follower = threading.Thread(target=lib.fl_bench_handover_follow, args=(start, waits))
    follower.start()
    os.close(other)
    follower.join(60)
    assert not follower.is_alive()
    os.close(waits)
