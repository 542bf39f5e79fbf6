"""Payload that the device reads from the driver's memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dpdk_port import OpFailedError, Port, frame
from framelane_dpdk._native import ffi, lib
from test_memif import far_end, memif

from support.processes import wait_until

LENGTH = 64 * 4096
HEADERS = 42


@pytest.fixture
def memory() -> Iterator[Any]:
    with mmap.mmap(-1, LENGTH) as region:
        view = ffi.from_buffer("uint8_t[]", region, require_writable=True)
        yield view
        ffi.release(view)


def register(port: Port, memory: Any, length: int = LENGTH) -> int:
    region = ffi.new("uint64_t *")
    port.check(port.ops.register_memory(port.object, memory, length, region))
    return int(region[0])


def send_payload(port: Port, memory: Any, region: int, pieces: list[tuple[int, int]], first_token: int) -> int:
    """Send one frame for each (offset, length), in one burst. Returns how many the device took."""
    frames, count = port.alloc(len(pieces))
    for index, (offset, length) in enumerate(pieces):
        ffi.memmove(frames[index].data, frame(b"")[:HEADERS], HEADERS)
        frames[index].length, frames[index].payload_length = HEADERS, length
        frames[index].payload, frames[index].region = memory + offset, region
        frames[index].completion = first_token + index
    sent = port.check(port.ops.tx_burst(port.object, 0, frames, count))
    port.ops.tx_free(port.object, 0, frames + sent, count - sent)
    return sent


def test_payload_from_registered_memory_arrives_and_comes_back_in_order(
    make_port: Callable[..., Port], memory: Any, tmp_path: Path
) -> None:
    ffi.memmove(memory, os.urandom(LENGTH), LENGTH)
    with far_end(**memif(tmp_path / "m.sock", "server")):
        near = make_port(**memif(tmp_path / "m.sock", "client"), link_wait_ms=10_000, zero_copy_tx=True)
        assert near.attributes.offloads & lib.FL_PORT_TX_PAYLOAD
        assert near.transport.capabilities.zero_copy_tx
        region = register(near, memory)
        # Across pages, at odd offsets, of all lengths.
        pieces = [(4096 * index + 13 * index + 4000, 1 + 45 * index) for index in range(32)]
        assert send_payload(near, memory, region, pieces, first_token=100) == 32
        answers = [one.data for one in near.receive(32)]
        for (offset, length), answer in zip(pieces, answers, strict=True):
            sent = frame(b"")[14:HEADERS] + bytes(ffi.buffer(memory + offset, length))
            assert answer[14:][: len(sent)][::-1] == sent  # what comes back is padded
        completions: list[tuple[int, int]] = []
        wait_until(lambda: len(completions.__iadd__(near.reap())) == 32, "32 completions")
        assert completions == [(100 + index, 0) for index in range(32)]
        near.check(near.ops.unregister_memory(near.object, region))


def test_what_a_full_ring_does_not_take_is_not_completed(make_port: Callable[..., Port], memory: Any) -> None:
    near = make_port(
        vdev="net_memif", vdev_args={"role": "server", "socket": f"/tmp/fl{os.getpid()}.sock"}, zero_copy_tx=True
    )
    region = register(near, memory)
    assert send_payload(near, memory, region, [(0, 1000)] * 8, first_token=1) == 0  # nobody is at the other end
    assert near.reap() == []
    near.check(near.ops.unregister_memory(near.object, region))


def test_completions_go_on_for_longer_than_the_room_in_flight(
    make_port: Callable[..., Port], memory: Any, tmp_path: Path
) -> None:
    with far_end(**memif(tmp_path / "m.sock", "server")):
        near = make_port(**memif(tmp_path / "m.sock", "client"), link_wait_ms=10_000, zero_copy_tx=True)
        region = register(near, memory)
        sent = completed = 0
        while completed < 10_000:
            sent += send_payload(near, memory, region, [(64 * index, 100) for index in range(64)], first_token=1 + sent)
            near.poll()
            for token, status in near.reap():
                completed += 1
                assert (token, status) == (completed, 0)
        near.check(near.ops.unregister_memory(near.object, region))


def test_memory_that_is_not_whole_pages_or_not_wanted_is_refused(make_port: Callable[..., Port], memory: Any) -> None:
    near = make_port(vdev="net_memif", vdev_args={"socket": f"/tmp/fl{os.getpid()}.sock"}, zero_copy_tx=True)
    with pytest.raises(OpFailedError, match="is not whole pages"):
        register(near, memory, LENGTH - 1)
    plain = make_port(vdev="net_null", zero_copy_tx=True)  # it takes no frames in parts
    assert not plain.attributes.offloads & lib.FL_PORT_TX_PAYLOAD
    with pytest.raises(OpFailedError, match="zero_copy_tx is off") as caught:
        register(plain, memory)
    assert caught.value.code == -lib.FL_ENOTSUP
