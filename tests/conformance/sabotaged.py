"""The conformance kit on a transport that breaks one rule, named by FRAMELANE_SABOTAGE. Run by test_kit.py."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from framelane._native import ffi
from framelane.testing import BaseTransportConformance, Family, Station, TransportPair
from framelane.transport.native import OpenTransport
from framelane.transport.simulated import SimulatedNetwork


def counts_short(honest: Any) -> dict[str, Callable[..., Any]]:
    def send(endpoint: Any, runs: Any, count: int) -> int:
        result = honest.send(endpoint, runs, count)
        if count:
            runs[0].accepted -= 1
        return int(result)

    return {"send": send}


def passes_a_stopped_run(honest: Any) -> dict[str, Callable[..., Any]]:
    return {"send": lambda endpoint, runs, count: sum(honest.send(endpoint, runs + i, 1) for i in range(count))}


def loses_silently(honest: Any) -> dict[str, Callable[..., Any]]:
    calls = iter(range(10**9))

    def send(endpoint: Any, runs: Any, count: int) -> int:
        if next(calls) % 10 != 9:
            return int(honest.send(endpoint, runs, count))
        for i in range(count):
            runs[i].accepted, runs[i].status = len(range(0, runs[i].length, runs[i].segment_length)), 0
        return count

    return {"send": send}


def reorders(honest: Any) -> dict[str, Callable[..., Any]]:
    def poll(poller: Any, runs: Any, capacity: int) -> int:
        count = honest.poll(poller, runs, capacity)
        kept = ffi.new("fl_run_t[]", [runs[i] for i in range(count)])
        for i in range(count):
            runs[i] = kept[count - 1 - i]
        return int(count)

    return {"poll": poll}


def gives_memory_up_early(honest: Any) -> dict[str, Callable[..., Any]]:
    out: list[tuple[Any, int]] = []

    def poll(poller: Any, runs: Any, capacity: int) -> int:
        count = honest.poll(poller, runs, capacity)
        out[:] = [(ffi.cast("uint8_t *", runs[i].data), runs[i].length) for i in range(count)]
        return int(count)

    def release(poller: Any, runs: Any, count: int) -> None:
        for data, length in out:
            ffi.memmove(data, b"\xdd" * length, length)
        honest.release(poller, runs, count)

    return {"poll": poll, "release": release}


def truncates(honest: Any) -> dict[str, Callable[..., Any]]:
    def poll(poller: Any, runs: Any, capacity: int) -> int:
        count = honest.poll(poller, runs, capacity)
        for i in range(count):
            if runs[i].length > 1400:
                runs[i].length -= 1
        return int(count)

    return {"poll": poll}


def leaks_descriptors(honest: Any) -> dict[str, Callable[..., Any]]:
    def open_endpoint(transport: Any, params: Any, endpoint: Any) -> int:
        os.open("/dev/null", os.O_RDONLY)
        return int(honest.open_endpoint(transport, params, endpoint))

    return {"open_endpoint": open_endpoint}


def hides_its_port(honest: Any) -> dict[str, Callable[..., Any]]:
    def local_address(endpoint: Any, address: Any) -> int:
        status = honest.local_address(endpoint, address)
        address.port = 0
        return int(status)

    return {"local_address": local_address}


def takes_any_mtu(honest: Any) -> dict[str, Callable[..., Any]]:
    def open_endpoint(transport: Any, params: Any, endpoint: Any) -> int:
        params.mtu_length = 1408
        return int(honest.open_endpoint(transport, params, endpoint))

    return {"open_endpoint": open_endpoint}


def boasts_of_arm(honest: Any) -> dict[str, Callable[..., Any]]:
    return {}


def is_honest(honest: Any) -> dict[str, Callable[..., Any]]:
    return {}


def sabotage(transport: OpenTransport, how: str) -> list[Any]:
    """Put callbacks in the place of ops. Returns what has to stay alive."""
    ops = transport.binding.ops
    honest = ffi.new("fl_transport_ops_t *", ops)
    callbacks = {}
    for name, function in globals()[how](honest).items():
        callbacks[name] = ffi.callback(ffi.typeof(getattr(ops, name)), function)
        setattr(ops, name, callbacks[name])
    if how == "boasts_of_arm":
        transport.capabilities = replace(transport.capabilities, can_arm=True)
    return [honest, callbacks]


class TestSabotaged(BaseTransportConformance):
    @pytest.fixture
    def transport_pair(self) -> Iterator[TransportPair]:
        net = SimulatedNetwork()
        how = os.environ["FRAMELANE_SABOTAGE"]
        kept = []

        def open_near() -> OpenTransport:
            transport = net.attach(["10.0.0.1", "fd00::1"])
            kept.append(sabotage(transport, how))
            return transport

        far = net.attach(["10.0.0.2", "fd00::2"])
        kept.append(sabotage(far, how))
        pair = TransportPair(
            near=Station(open_near()),
            far=Station(far),
            reopen=open_near,
            ipv4=Family("10.0.0.1", "10.0.0.2", group="239.20.90.1", absent="10.0.0.9"),
            ipv6=Family("fd00::1", "fd00::2", group="ff15::4241", absent="fd00::9"),
        )
        yield pair
        pair.close()
        net.close()
