"""The loops of ``bench frames`` over ports in memory: ours and the floor understand each other's frames."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.testing.memory_port import MemoryPort
from framelane.transport.address import Address

NEAR, FAR = "10.73.0.1", "10.73.0.2"


def params(length: int, *, checksums: bool, local: tuple[str, int], peer: tuple[str, int] | None) -> Any:
    made = ffi.new("fl_bench_params_t *")
    Address.of(*local).store(made.local)
    if peer is not None:
        Address.of(*peer).store(made.peer)
    made.length, made.checksums, made.batch, made.region_length = length, checksums, 16, lib.FL_BENCH_REGION
    made.duration_ns, made.idle_ns = 50_000_000, 300_000_000
    return made


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize(("sends", "receives"), [("ours", "ours"), ("floor", "floor")])
def test_a_benchmarks_two_sides_count_the_same_datagrams(sends: str, receives: str, checksums: bool) -> None:
    near, far = MemoryPort("02:00:00:00:00:01"), MemoryPort("02:00:00:00:00:02", ring_length=8192)
    flags = 0 if checksums else lib.FL_NETSTACK_NO_UDP_CHECKSUM
    transports = [
        port.open_netstack([f"{address}/24"], flags=flags) if kind == "ours" else None
        for port, address, kind in ((near, NEAR, sends), (far, FAR, receives))
    ]
    near.connect(far)
    results = [ffi.new("fl_bench_result_t *") for _ in range(2)]
    to_send = params(64, checksums=checksums, local=(NEAR, 4000), peer=(FAR, 4001))
    to_receive = params(64, checksums=checksums, local=(FAR, 4001), peer=None)
    ops = lib.fl_memory_port_ops()
    to_receive.end_fd, end = os.pipe()
    with ThreadPoolExecutor() as pool:
        if transports[1] is None:
            receiving = pool.submit(lib.fl_bench_port_receive, ops, far.native, to_receive, results[1])
        else:
            receiving = pool.submit(lib.fl_bench_transport_receive, transports[1].binding, to_receive, results[1])
        if transports[0] is None:
            sending = pool.submit(lib.fl_bench_port_send, ops, near.native, to_send, results[0])
        else:
            sending = pool.submit(lib.fl_bench_transport_send, transports[0].binding, to_send, results[0])
        sent = sending.result()
        os.close(end)
        assert (sent, receiving.result()) == (0, 0)
    os.close(to_receive.end_fd)
    sent, received = results[0].messages, results[1].messages
    assert sent > 0
    assert 0 < received <= sent
    assert results[1].bytes == received * 64
    for port, transport in ((near, transports[0]), (far, transports[1])):
        if transport is not None:
            transport.close()
        else:
            ffi.cast("fl_port_ops_t *", ops).close(ffi.cast("fl_port_t *", port.native))
            port.host.close()
