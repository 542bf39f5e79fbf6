"""A port that cannot be had: the message says who has it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from ipaddress import ip_address

import pytest

from framelane import MediaDriver
from framelane.client import Client
from framelane.client.errors import RegistrationError
from framelane.driver.settings import load_settings
from framelane.netstack.holders import describe_holders, find_holders

HOLD = """
import signal, socket, sys
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
held.bind((sys.argv[1], 0))
print(f"port {held.getsockname()[1]} held", flush=True)
signal.pause()
"""


def hold(processes, address):
    """Have another process bind a UDP port; returns its pid and the port."""
    process = processes.start("holder", [sys.executable, "-c", HOLD, address])
    process.wait_for("held")
    return process.pid, int(process.output.split()[1])


def test_a_driver_names_the_process_that_has_the_port(shared, processes):
    pid, port = hold(processes, "127.0.0.1")
    settings = load_settings(environ={}, overrides=[f"driver.dir={shared / 'aeron'}", "driver.threading_mode=SHARED"])
    with MediaDriver.launch(settings) as driver, Client(driver.directory) as client:
        with pytest.raises(RegistrationError) as error:
            client.add_subscription(f"aeron:udp?endpoint=127.0.0.1:{port}", 7)
        assert f"held by pid {pid} (python" in str(error.value)
        assert f"of user {getpass.getuser()} at 127.0.0.1:{port}" in str(error.value)


def test_holders_are_those_whose_address_collides(processes):
    pid, port = hold(processes, "127.0.0.1")
    for address in ("127.0.0.1", "0.0.0.0", "::"):
        assert [holder.owner.pid for holder in find_holders(ip_address(address), port)] == [pid]
    assert find_holders(ip_address("127.0.0.2"), port) == []
    assert find_holders(ip_address("::1"), port) == []


def test_a_wildcard_of_ipv6_collides_with_ipv4_and_this_process_is_named_as_the_driver():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as held:
        held.bind(("::", 0))
        port = held.getsockname()[1]
        text = describe_holders(ip_address("127.0.0.1"), port)
        assert text == f"held by this driver's own process, pid {os.getpid()}, at [::]:{port}"
