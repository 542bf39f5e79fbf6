"""Where a benchmark runs."""

from __future__ import annotations

import socket

from framelane.bench.network import PORTS, loopback


def test_ports_of_the_loopback_interface_that_somebody_holds_are_passed_over():
    with loopback() as (near, far):
        assert near == far
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((near.address, near.port + PORTS - 1))
        with loopback() as (other, _):
            assert other.port >= near.port + PORTS
    with loopback() as (again, _):
        assert again == near
