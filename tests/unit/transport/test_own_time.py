"""What is held against a probe: that it sleeps and that it computes, not that the machine has no time for it."""

from __future__ import annotations

import os

import pytest

from framelane.transport.own_time import OwnTime


@pytest.fixture
def own_time():
    return OwnTime(os.getpid())


def test_a_process_that_waits_for_the_machine_has_had_no_time(own_time):
    used_s = own_time._used_s
    for state in "RDRD":
        own_time.count(state, used_s, 10.0)
    assert own_time.seconds == 0


def test_a_process_that_sleeps_or_is_stopped_has_had_the_time_between_looks(own_time):
    used_s = own_time._used_s
    own_time.count("S", used_s, 0.01)
    own_time.count("T", used_s, 0.02)
    assert own_time.seconds == pytest.approx(0.03)


def test_a_process_that_computes_has_had_what_it_used(own_time):
    used_s = own_time._used_s
    own_time.count("R", used_s + 1.5, 60.0)
    assert own_time.seconds == pytest.approx(1.5)


def test_a_machine_that_stood_still_is_held_against_nobody(own_time):
    own_time.count("S", own_time._used_s, 3600.0)
    assert own_time.seconds < 0.1


def test_a_look_at_a_process_sees_the_processor_time_that_it_uses():
    process_id = os.getpid()
    own_time = OwnTime(process_id)
    while own_time.seconds < 0.05:
        own_time.look()
    assert own_time.seconds >= 0.05


def test_a_process_that_is_gone_gets_time_all_the_same():
    own_time = OwnTime(2**22 + 1)
    own_time.count(*own_time._read(), 0.01)
    assert own_time.seconds == pytest.approx(0.01)
