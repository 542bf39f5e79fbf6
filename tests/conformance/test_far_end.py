"""The far end in a child process: commands, errors and the child's death come back to the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing import RemoteStation, Run, Station
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport, open_transport
from framelane_sockets.plugin import framelane_transport

LOOPBACK = Address.of("127.0.0.1")


def open_sockets() -> OpenTransport:
    """Also called in the child."""
    return open_transport(framelane_transport())


@pytest.fixture
def far() -> Iterator[RemoteStation]:
    station = RemoteStation(f"{Path(__file__).stem}:open_sockets", ("env", f"PYTHONPATH={Path(__file__).parent}"))
    yield station
    station.close()


def test_datagrams_cross_between_the_processes(far: RemoteStation) -> None:
    with Station(open_sockets()) as near:
        remote = far.open(bind=LOOPBACK)
        local = near.open(role=lib.FL_ROLE_SENDER, bind=LOOPBACK, peer=remote.local)
        run = Run(bytes(range(250)) * 8, 100)
        local.send_all([run])
        assert [datagram.data for datagram in remote.receive(20)] == run.datagrams()
        remote.send_all([Run(b"back", peer=local.local)])
        assert [datagram.data for datagram in local.receive(1)] == [b"back"]


def test_an_error_in_the_child_is_raised_here_with_its_code_and_trace(far: RemoteStation) -> None:
    taken = far.open(bind=LOOPBACK).local
    with pytest.raises(NativeError, match=str(taken.port)) as raised:
        far.open(bind=taken)
    assert raised.value.code == lib.FL_EADDRINUSE
    assert "far_child.py" in "".join(raised.value.__notes__)


def test_endpoints_are_closed_by_reset(far: RemoteStation) -> None:
    taken = far.open(bind=LOOPBACK).local
    far.reset()
    assert far.open(bind=taken).local == taken


def test_a_child_that_cannot_open_its_transport_says_so() -> None:
    with pytest.raises(AssertionError, match="the far end's process ended with status 1"):
        RemoteStation("no_such_module:open", ("env",))
