"""The adapter of level ``python``: what it keeps from the class, and what it does when the class misbehaves."""

import errno
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing import Run, RunResult, Station, wait_for
from framelane.transport.address import Address
from framelane.transport.native import NativeHost
from framelane.transport.python_level import Arrival, EndpointRequest, adapt_python
from framelane.transport.spec import Capabilities

HERE, THERE, STRANGER = (Address.of(f"10.0.0.{n}", 40000 + n) for n in (1, 2, 3))


class Scripted:
    """A transport whose every move the test decides."""

    native = None

    def __init__(self, capabilities: Capabilities = Capabilities()) -> None:  # noqa: B008 - frozen
        self.capabilities = capabilities
        self.has_room = True
        self.open_error: Exception | None = None
        self.poll_error: Exception | None = None
        self.opened: list[EndpointRequest] = []
        self.sent: list[tuple[bytes, Address]] = []
        self.arrivals: list[Arrival] = []
        self.threads: set[int] = set()

    def open_endpoint(self, request: EndpointRequest) -> tuple[int, Address]:
        self.threads.add(threading.get_ident())
        if self.open_error is not None:
            raise self.open_error
        self.opened.append(request)
        return len(self.opened), request.bind.with_port(request.bind.port or 5000)

    def close_endpoint(self, endpoint: Any) -> None:
        self.threads.add(threading.get_ident())

    def send(self, endpoint: Any, data: bytes, destination: Address) -> bool:
        self.threads.add(threading.get_ident())
        if self.has_room:
            self.sent.append((data, destination))
        return self.has_room

    def poll(self) -> Iterable[Arrival]:
        self.threads.add(threading.get_ident())
        if self.poll_error is not None:
            error, self.poll_error = self.poll_error, None
            raise error
        arrived, self.arrivals = self.arrivals, []
        return arrived

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def station_of(transport: Scripted) -> Station:
    return Station(adapt_python("scripted", transport, NativeHost()))


def test_everything_but_close_is_called_on_one_thread_which_is_not_the_agents() -> None:
    transport = Scripted()
    with station_of(transport) as station:
        endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=HERE, peer=THERE)
        endpoint.send_all([Run(b"abcdef", 2)])
        wait_for(lambda: len(transport.sent) == 3, "three datagrams")
        assert transport.sent == [(b"ab", THERE), (b"cd", THERE), (b"ef", THERE)]
    assert len(transport.threads) == 1
    assert threading.get_ident() not in transport.threads


def test_a_class_without_room_pushes_back_to_the_agent_and_loses_nothing() -> None:
    transport = Scripted()
    transport.has_room = False
    with station_of(transport) as station:
        endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=HERE, peer=THERE)
        accepted, status = 0, 0
        while status == 0:
            numbers = b"".join((accepted + i).to_bytes(4) * 250 for i in range(60))
            _, (result,) = endpoint.send([Run(numbers, 1000)])
            accepted, status = accepted + result.accepted, result.status
        assert status == -lib.FL_EAGAIN
        assert endpoint.send([Run(bytes(60_000), 1000)])[1] == [RunResult(0, -lib.FL_EAGAIN)]
        transport.has_room = True
        wait_for(lambda: len(transport.sent) == accepted, "what was accepted")
        assert [int.from_bytes(data[:4]) for data, _ in transport.sent] == list(range(accepted))


def test_arrivals_that_do_not_fit_wait_and_strangers_are_kept_from_connected_endpoints() -> None:
    transport = Scripted()
    with station_of(transport) as station:
        endpoint = station.open(bind=HERE, peer=THERE, flags=lib.FL_ENDPOINT_CONNECT)
        transport.arrivals = [
            Arrival(1, i.to_bytes(4) * 250, STRANGER if i % 10 == 9 else THERE) for i in range(10_000)
        ]
        arrived = endpoint.receive(9_000)
        assert [int.from_bytes(d.data[:4]) for d in arrived] == [i for i in range(10_000) if i % 10 != 9]
        station.settle()
        assert station.transport.stats() == {"python-rx-discarded": 1_000, "python-dropped": 0}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OSError(errno.EADDRINUSE, "somebody has it"), lib.FL_EADDRINUSE, "somebody has it"),
        (ValueError("a mistake"), lib.FL_EIO, "ValueError: a mistake"),
    ],
)
def test_what_open_endpoint_raises_comes_back_as_a_code_and_its_text(error: Exception, code: int, text: str) -> None:
    transport = Scripted()
    with station_of(transport) as station:
        transport.open_error = error
        with pytest.raises(NativeError, match=text) as raised:
            station.open(bind=HERE)
        assert raised.value.code == code
        transport.open_error = None
        assert station.open(bind=HERE).local == HERE


def test_an_exception_in_poll_is_logged_and_does_not_end_the_transport() -> None:
    transport = Scripted()
    with station_of(transport) as station:
        endpoint = station.open(bind=HERE)
        transport.poll_error = RuntimeError("lost my way")
        wait_for(lambda: transport.poll_error is None, "the exception")
        transport.arrivals = [Arrival(1, b"still here", THERE)]
        assert [d.data for d in endpoint.receive(1)] == [b"still here"]
        assert [line.text for line in station.transport.host.log_lines()] == ["scripted: RuntimeError: lost my way"]


def test_the_declared_capabilities_are_enforced_before_the_class_is_asked() -> None:
    transport = Scripted(Capabilities(max_datagram=9000))
    with station_of(transport) as station:
        for wrong, code in (
            ({"bind": Address.of("::1")}, lib.FL_EAFNOSUPPORT),
            ({"bind": Address.of("239.1.1.1", 1)}, lib.FL_ENOTSUP),
            ({"bind": HERE, "mtu_length": 9001}, lib.FL_EMSGSIZE),
            ({"bind": HERE, "peer": Address.of("::1", 1)}, lib.FL_EAFNOSUPPORT),
        ):
            with pytest.raises(NativeError) as raised:
                station.open(**wrong)
            assert raised.value.code == code
        assert transport.opened == []


def test_close_is_refused_while_something_is_open_and_the_service_goes_on() -> None:
    transport = Scripted()
    with station_of(transport) as station:
        station.open(bind=HERE)
        with pytest.raises(NativeError, match="still open") as raised:
            station.transport.close()
        assert raised.value.code == lib.FL_EBUSY
        assert station.open(bind=THERE).local == THERE
