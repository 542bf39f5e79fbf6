"""The kit finds what it is for: each rule broken fails the case that is named after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SABOTAGED = Path(__file__).with_name("sabotaged.py")


@pytest.mark.parametrize(
    ("sabotage", "case"),
    [
        ("counts_short", "test_runs_taken_whole_are_counted_and_report_every_datagram"),
        ("passes_a_stopped_run", "test_what_follows_a_refused_run_to_the_same_peer_is_not_sent"),
        ("loses_silently", "test_a_stream_arrives_in_order"),
        ("reorders", "test_mixed_runs_in_one_send_arrive_in_order"),
        ("gives_memory_up_early", "test_received_memory_is_unchanged_until_released_in_any_order"),
        ("truncates", "test_a_lone_datagram_arrives_unchanged"),
        ("leaks_descriptors", "test_a_thousand_endpoints_leave_nothing_behind"),
        ("hides_its_port", "test_port_0_is_resolved_when_open_returns"),
        ("takes_any_mtu", "test_an_mtu_above_the_longest_datagram_is_refused"),
        ("boasts_of_arm", "test_arm_gives_a_descriptor_that_wakes_if_declared"),
        ("is_honest", None),
    ],
)
def test_a_broken_rule_is_found(sabotage: str, case: str | None) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "60", str(SABOTAGED)]
    command += ["-k", case] if case is not None else ["-k", "arrive or accepted or port"]
    done = subprocess.run(
        command, env={**os.environ, "FRAMELANE_SABOTAGE": sabotage}, capture_output=True, text=True, timeout=110
    )
    if case is None:
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode == 1, done.stdout
        assert f"::TestSabotaged::{case}" in done.stdout
        assert "1 failed" in done.stdout
