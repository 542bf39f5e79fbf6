"""Transports of level ``python``: a class on a thread of its own, behind an adapter that agents call like any other.

For prototypes, tests and odd media. It is slow: every datagram becomes a Python object and waits for the GIL, so expect
tens of thousands a second and latencies of a fraction of a millisecond, more while the application holds the GIL.
"""

from __future__ import annotations

import errno
import select
import threading
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from framelane._native import ffi, lib
from framelane.errors import NativeError, TransportError
from framelane.transport.address import Address
from framelane.transport.native import NativeHost, OpenTransport, raise_native
from framelane.transport.spec import NativeTransport, Transport

__all__ = ["Arrival", "EndpointRequest", "PythonTransport", "adapt_python"]

#: How long the thread sleeps at most if the transport has no descriptor to wait for.
POLL_INTERVAL_MS = 1
#: Requests taken between two polls.
REQUESTS_PER_TURN = 256


@dataclass(frozen=True)
class EndpointRequest:
    """What an endpoint is asked for. Families agree, and the declared capabilities allow it."""

    role: int  #: ``FL_ROLE_SENDER`` or ``FL_ROLE_RECEIVER``
    bind: Address  #: port 0: any free one
    peer: Address | None
    interface: Address | None
    flags: int  #: ``FL_ENDPOINT_*``; the adapter itself keeps strangers from connected endpoints
    ttl: int
    mtu_length: int


@dataclass(frozen=True)
class Arrival:
    """A datagram that arrived."""

    endpoint: Hashable  #: as ``open_endpoint`` returned it
    data: bytes
    source: Address
    local: Address | None = None  #: the address it came to, if known


@runtime_checkable
class PythonTransport(Transport, Protocol):
    """What a plugin of level ``python`` returns from ``open``; ``native`` is ``None``.

    All methods but ``close`` are called on one thread, the adapter's. ``queues`` of the capabilities is taken as 1.
    """

    def open_endpoint(self, request: EndpointRequest) -> tuple[Hashable, Address]:
        """Bind. Returns what stands for the endpoint from now on, and its address with the final port.

        :raises OSError: with the errno that the caller is to see, such as ``EADDRINUSE``.
        """
        ...

    def close_endpoint(self, endpoint: Hashable) -> None: ...

    def send(self, endpoint: Hashable, data: bytes, destination: Address) -> bool:
        """Send one datagram. ``False``: no room now; it is offered again, and what follows waits."""
        ...

    def poll(self) -> Iterable[Arrival]:
        """Return what arrived, at most some hundreds of datagrams; never block."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``poll`` has something; -1: it is called each millisecond."""
        ...


class _Server:
    """The Python thread's side of an adapter."""

    def __init__(self, transport: PythonTransport, adapter: Any, host: NativeHost, name: str) -> None:
        self._transport = transport
        self._capabilities = transport.capabilities
        self._adapter = adapter
        self._host = host
        self._name = name
        self._handles: dict[int, Hashable] = {}
        self._numbers: dict[Hashable, int] = {}
        self._unsent: deque[tuple[Hashable, bytes, Address]] = deque()
        self._undelivered: deque[Arrival] = deque()
        self._request = ffi.new("fl_python_request_t *")
        self._source = ffi.new("fl_address_t *")
        self._local = ffi.new("fl_address_t *")
        self._thread = threading.Thread(target=self._run, name=f"framelane-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it.

        :raises NativeError: with ``FL_EBUSY`` while endpoints or pollers are open; the thread goes on.
        """
        status = lib.fl_python_adapter_stop(self._adapter)
        if status < 0:
            raise_native(status, self._name)
        self._is_stopping = True
        self._thread.join()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(lib.fl_python_adapter_descriptor(self._adapter), select.POLLIN)
        descriptor = self._transport.fileno()
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
        while not lib.fl_python_adapter_is_stopped(self._adapter):
            is_waiting = descriptor >= 0 and not self._unsent and not self._undelivered
            poll.poll(None if is_waiting else POLL_INTERVAL_MS)
            try:
                self._serve()
            except Exception as error:  # the plugin's; one failure must not end the transport
                self._log(f"{type(error).__name__}: {error}")

    def _serve(self) -> None:
        self._send_pending()
        taken = 0
        while (
            not self._unsent and taken < REQUESTS_PER_TURN and lib.fl_python_adapter_take(self._adapter, self._request)
        ):
            taken += 1
            if self._request.kind == lib.FL_PYTHON_OPEN:
                self._open()
            elif self._request.kind == lib.FL_PYTHON_CLOSE:
                self._close()
            else:
                self._queue_run()
                self._send_pending()
        if not self._undelivered:
            self._undelivered.extend(self._transport.poll())
        while self._undelivered and self._deliver(self._undelivered[0]):
            self._undelivered.popleft()

    def _log(self, text: str) -> None:
        self._host.table.log(self._host.table, lib.FL_LOG_ERROR, f"{self._name}: {text}".encode())

    def _answer(self, status: int, text: str = "", local: Address | None = None) -> bool:
        address = ffi.new("fl_address_t *")
        if local is not None:
            local.store(address)
        return bool(lib.fl_python_adapter_answer(self._adapter, status, text.encode(), address) == 0)

    def _open(self) -> None:
        try:
            handle, local = self._transport.open_endpoint(self._endpoint_request())
        except OSError as error:
            self._answer(-(error.errno or lib.FL_EIO), str(error))
        except Exception as error:  # the plugin's; told to whoever opens
            code = error.code if isinstance(error, NativeError) else lib.FL_EIO
            self._answer(-code, f"{type(error).__name__}: {error}")
        else:
            if self._answer(0, local=local):
                self._handles[self._request.endpoint] = handle
                self._numbers[handle] = self._request.endpoint
            else:
                self._transport.close_endpoint(handle)

    def _endpoint_request(self) -> EndpointRequest:
        """Check the parameters against the declared capabilities, so that no plugin has to."""
        params = self._request.params
        peer, interface = (Address.from_native(a) for a in (params.peer, params.interface_address))
        bind = Address.from_native(params.bind)
        if bind is None:
            if peer is None:
                raise OSError(errno.EINVAL, "an endpoint needs a bind address or a peer")
            bind = Address.of("0.0.0.0" if peer.ip.version == 4 else "::")
        if peer is not None and peer.ip.version != bind.ip.version:
            raise OSError(errno.EAFNOSUPPORT, f"bind address {bind} and peer {peer} are of different families")
        if bind.ip.version == 6 and not self._capabilities.ipv6:
            raise OSError(errno.EAFNOSUPPORT, f"transport '{self._name}' does not carry IPv6")
        if not self._capabilities.multicast and (bind.ip.is_multicast or (peer is not None and peer.ip.is_multicast)):
            raise OSError(errno.ENOTSUP, f"transport '{self._name}' has no multicast")
        longest = self._capabilities.max_datagram
        if params.mtu_length > longest:
            raise OSError(
                errno.EMSGSIZE, f"mtu_length is {params.mtu_length}, transport '{self._name}' carries {longest}"
            )
        return EndpointRequest(params.role, bind, peer, interface, params.flags, params.ttl, params.mtu_length)

    def _close(self) -> None:
        handle = self._handles.pop(self._request.endpoint, None)
        self._numbers.pop(handle, None)
        self._undelivered = deque(a for a in self._undelivered if a.endpoint != handle)
        try:
            self._transport.close_endpoint(handle)
        except Exception as error:  # the plugin's; the endpoint counts as closed
            self._log(f"close_endpoint: {type(error).__name__}: {error}")
        self._answer(0)

    def _queue_run(self) -> None:
        """Cut a run into datagrams."""
        request = self._request
        handle = self._handles.get(request.endpoint)
        destination = Address.from_native(request.destination)
        if handle is None or destination is None:
            lib.fl_python_adapter_drop(self._adapter)
            return
        data = bytes(ffi.buffer(request.data, request.length)) if request.length else b""
        step = request.segment_length or 1
        cut = [data[i : i + step] for i in range(0, len(data), step)] or [b""]
        self._unsent.extend((handle, part, destination) for part in cut)

    def _send_pending(self) -> None:
        while self._unsent:
            handle, data, destination = self._unsent[0]
            try:
                if not self._transport.send(handle, data, destination):
                    return
            except OSError:
                lib.fl_python_adapter_drop(self._adapter)
            self._unsent.popleft()

    def _deliver(self, arrival: Arrival) -> bool:
        number = self._numbers.get(arrival.endpoint)
        if number is None:
            lib.fl_python_adapter_drop(self._adapter)
            return True
        arrival.source.store(self._source)
        if arrival.local is not None:
            arrival.local.store(self._local)
        else:
            self._local.family = lib.FL_FAMILY_NONE
        status = lib.fl_python_adapter_deliver(
            self._adapter, number, arrival.data, len(arrival.data), self._source, self._local
        )
        return bool(status == 0)


def adapt_python(name: str, transport: Transport, host: NativeHost, *, ring_length: int = 0) -> OpenTransport:
    """Start the thread that serves a Python transport and bind to its adapter.

    :param ring_length: bytes of each of the two rings between agent and thread; 0: 4 MiB.
    :raises TransportError: if ``transport`` lacks the methods of :class:`PythonTransport`.
    """
    if not isinstance(transport, PythonTransport):
        lacking = [
            m for m in ("open_endpoint", "close_endpoint", "send", "poll", "fileno") if not hasattr(transport, m)
        ]
        raise TransportError(f"transport '{name}' is of level python but has no {', '.join(lacking)}")
    adapter = lib.fl_python_adapter_new(ring_length, transport.capabilities.max_datagram)
    if adapter == ffi.NULL:
        raise_native(-lib.FL_ENOMEM, f"adapter of transport '{name}'")
    server = _Server(transport, adapter, host, name)

    def close() -> None:
        server.stop()
        opened.close_native()
        transport.close()

    native = NativeTransport(
        int(ffi.cast("uintptr_t", lib.fl_python_adapter_ops())), int(ffi.cast("uintptr_t", adapter))
    )
    capabilities = replace(
        transport.capabilities,
        queues=1,
        can_arm=True,
        zero_copy_rx=False,
        zero_copy_tx=False,
        segmentation_offload=False,
    )
    opened = OpenTransport(name, native, capabilities, host, close)
    server.start()
    return opened
