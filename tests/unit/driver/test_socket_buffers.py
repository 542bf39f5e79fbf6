"""Settings against the socket buffers that the system grants."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from framelane.driver.settings import load_settings
from framelane.driver.socket_buffers import check_granted_buffers, granted_buffer
from framelane.errors import ConfigError
from framelane.transport.registry import Registry


def check(granted, **values):
    settings = load_settings(
        environ={}, overrides=[f"driver.{key}={value}" for key, value in values.items()], registry=Registry({})
    )
    warnings = []
    check_granted_buffers(settings.driver, warnings.append, lambda option, asked: granted[option])
    return warnings


ENOUGH = {socket.SO_SNDBUF: 262144, socket.SO_RCVBUF: 262144}


def test_the_defaults_fit_what_a_system_grants_by_default():
    assert check(ENOUGH) == []


def test_a_buffer_smaller_than_asked_is_a_warning_with_what_to_do():
    (warning,) = check(ENOUGH, socket_so_rcvbuf="1m")
    assert warning == (
        "driver.socket_so_rcvbuf = 1048576: the system grants 262144 bytes; sysctl -w net.core.rmem_max=1048576"
    )


def test_a_window_and_an_mtu_that_do_not_fit_are_errors_by_name():
    with pytest.raises(ConfigError) as raised:
        check({socket.SO_SNDBUF: 4096, socket.SO_RCVBUF: 262144}, mtu_length="8k", rcv_initial_window_length="1m")
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "driver.mtu_length = 8192",
        "driver.rcv_initial_window_length = 1048576",
    ]


def test_the_system_reports_its_default_for_a_buffer_that_is_left_alone():
    default = int(Path("/proc/sys/net/core/rmem_default").read_text())
    assert granted_buffer(socket.SO_RCVBUF, 0) == default
    assert granted_buffer(socket.SO_RCVBUF, 65536) == 131072
