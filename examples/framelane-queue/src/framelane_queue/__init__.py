"""A frame transport of level ``python``: datagrams cross queues inside this process. The smallest whole plugin."""

import errno
import os
from collections import deque
from typing import TypeAlias

from framelane.transport import Capabilities, Level, OpenContext, TransportSettings, TransportSpec, Verdict, hookimpl
from framelane.transport.address import Address
from framelane.transport.python_level import Arrival, EndpointRequest

QUEUE_LENGTH = 10_000  # datagrams; to a full queue the oldest are lost


class QueueSettings(TransportSettings):
    """The table ``[transport.queue]``."""

    addresses: tuple[str, ...] = ("127.0.0.1", "::1")


QueueEndpoint: TypeAlias = "tuple[Address, QueueTransport]"
BOUND: dict[Address, QueueEndpoint] = {}  # the whole network


class QueueTransport:
    """An open transport. All methods but ``close`` are called on the adapter's thread."""

    native = None
    capabilities = Capabilities(ipv6=True, loops_back=True)

    def __init__(self, settings: QueueSettings, _context: OpenContext) -> None:
        self._own = {Address.of(text).ip for text in settings.addresses}
        self._arrived: deque[Arrival] = deque(maxlen=QUEUE_LENGTH)
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def open_endpoint(self, request: EndpointRequest) -> tuple[QueueEndpoint, Address]:
        if request.bind.ip not in self._own:
            raise OSError(errno.EADDRNOTAVAIL, f"{request.bind.ip} is not one of transport.queue.addresses")
        for port in [request.bind.port] if request.bind.port else range(32768, 61000):
            endpoint = (request.bind.with_port(port), self)
            if BOUND.setdefault(endpoint[0], endpoint) is endpoint:
                return endpoint, endpoint[0]
        raise OSError(errno.EADDRINUSE, f"{request.bind} is in use")

    def close_endpoint(self, endpoint: QueueEndpoint) -> None:
        del BOUND[endpoint[0]]

    def send(self, endpoint: QueueEndpoint, data: bytes, destination: Address) -> bool:
        if (target := BOUND.get(destination)) is not None:
            target[1]._arrived.append(Arrival(target, data, endpoint[0], destination))
            os.eventfd_write(target[1]._event, 1)
        return True  # what nobody is bound for is lost, as with UDP

    def poll(self) -> list[Arrival]:
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return []
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def fileno(self) -> int:
        return self._event

    def close(self) -> None:
        os.close(self._event)


@hookimpl
def framelane_transport() -> TransportSpec:
    verdict = Verdict(usable=True, capabilities=QueueTransport.capabilities)
    return TransportSpec(
        "queue", "queues in this process", 1, Level.PYTHON, QueueSettings, lambda _settings: verdict, QueueTransport
    )
