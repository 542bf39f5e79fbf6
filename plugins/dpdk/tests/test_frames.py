"""Frames through two ports of this process, joined by rings."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from dpdk_port import OpFailedError, Port, frame
from framelane_dpdk._native import ffi, lib


def test_frames_arrive_whole_and_in_order(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    sent = [frame(os.urandom(length)) for length in (0, 1, 46, 64, 500, 1400, 1500)] * 5
    assert near.send(*sent) == len(sent)
    assert [one.data for one in far.receive(len(sent))] == sent
    assert far.send(sent[3]) == 1
    assert near.receive(1)[0].data == sent[3]
    assert near.stats()["tx-frame-bytes"] == sum(map(len, sent))
    assert far.stats()["rx-frames"] == len(sent)


def test_a_short_frame_is_padded_with_zeros_to_the_least_length(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    short = b"\xff" * 12 + b"\x88\xb5" + b"x"
    near.send(short)
    assert far.receive(1)[0].data == short.ljust(60, b"\0")


def test_a_frame_from_software_has_neither_verdict_nor_tag_nor_time(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    near.send(frame(b""))
    received = far.receive(1)[0]
    assert (received.vlan, received.checksum, received.clock) == (0xFFFF, lib.FL_CHECKSUM_UNKNOWN, lib.FL_CLOCK_NONE)


@pytest.mark.parametrize("capacity", [1, 7, 31, 33, 100])
def test_any_room_to_receive_into_gets_every_frame(ring_pair: tuple[Port, Port], capacity: int) -> None:
    near, far = ring_pair
    sent = [frame(bytes([number])) for number in range(100)]
    assert near.send(*sent[:64]) + near.send(*sent[64:]) == 100
    received = []
    while chunk := far.poll(capacity):
        assert len(chunk) <= capacity
        received += [one.data for one in chunk]
    assert received == sent


def test_what_a_full_ring_does_not_take_stays_with_the_caller(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    number, sent = 0, 0
    while near.stats()["tx-ring-full"] == 0:
        sent += near.send(*(frame(bytes([(number + i) % 256])) for i in range(32)))
        number += 32
        assert number < 1000, "a ring of 128 never filled"
    assert sent == 127  # a ring of 128 has room for one less
    assert [one.data[14] for one in far.receive(sent)] == list(range(sent))
    assert near.send(frame(b"again")) == 1


def test_without_buffers_an_allocation_is_short_and_counted(ring_pair: tuple[Port, Port]) -> None:
    near, _ = ring_pair
    held = []
    while True:
        frames, count = near.alloc(64)
        held.append((frames, count))
        if count < 64:
            break
    assert near.stats()["tx-buffers-out"] >= 1
    assert near.stats()["mempool-available"] == 0
    for frames, count in held:
        near.ops.tx_free(near.object, 0, frames, count)
    frames, count = near.alloc(64)
    assert count == 64
    near.ops.tx_free(near.object, 0, frames, count)


def test_transmit_buffers_hold_an_mtu_and_align_the_ip_header(ring_pair: tuple[Port, Port]) -> None:
    near, _ = ring_pair
    frames, count = near.alloc(8)
    assert near.attributes.headroom >= near.attributes.mtu_length + 18
    assert [int(ffi.cast("uintptr_t", one.data)) % 4 for one in frames[0:count]] == [2] * 8
    near.ops.tx_free(near.object, 0, frames, count)


@pytest.mark.parametrize("mtu", [576, 9000])
def test_the_mtu_is_what_was_asked_for_and_a_frame_of_it_passes(make_port: Callable[..., Port], mtu: int) -> None:
    settings = {"vdev": "net_ring", "vdev_args": {"link": "mtu"}, "ip_mtu": mtu}
    near, far = make_port(**settings), make_port(**settings)
    assert near.attributes.mtu_length == mtu
    data = frame(os.urandom(mtu + 4))  # with a VLAN tag
    near.send(data)
    assert far.receive(1)[0].data == data


def test_threads_of_several_queues_send_at_once_and_queue_0_receives_all(make_port: Callable[..., Port]) -> None:
    settings = {"vdev": "net_ring", "vdev_args": {"link": "many"}, "queues": 3}
    near = make_port(**settings, start_queues=3, enter=False)
    far = make_port(**settings)
    each = 2000
    failures: list[BaseException] = []

    def send(queue: int) -> None:
        try:
            near.check(near.ops.queue_enter(near.object, queue))
            number = 0
            while number < each:
                batch = [frame(bytes([queue]) + (number + i).to_bytes(4, "big")) for i in range(min(32, each - number))]
                number += near.send(*batch, queue=queue)
            near.check(near.ops.queue_leave(near.object, queue))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(queue,)) for queue in range(3)]
    for thread in threads:
        thread.start()
    received = far.receive(3 * each)
    for thread in threads:
        thread.join()
    assert not failures
    for queue in range(3):
        numbers = [int.from_bytes(one.data[15:19], "big") for one in received if one.data[14] == queue]
        assert numbers == list(range(each)), f"queue {queue}"


def test_queues_beyond_those_offered_are_refused(make_port: Callable[..., Port]) -> None:
    port = make_port(vdev="net_null", start=False)
    assert port.attributes.queues == 1
    with pytest.raises(OpFailedError, match="net_null0 has 1 queues here; 2 were asked for"):
        port.check(port.ops.start(port.object, 2))


def test_a_device_that_cannot_steer_says_so(ring_pair: tuple[Port, Port]) -> None:
    near, _ = ring_pair
    address = ffi.new("fl_address_t *", {"family": 4, "port": 40123, "bytes": [10, 0, 0, 1]})
    with pytest.raises(OpFailedError, match="queue 0 carries everything") as caught:
        near.check(near.ops.add_filter(near.object, 0, 0xFFFF, address, ffi.NULL))
    assert caught.value.code == -lib.FL_ENOTSUP


def test_groups_are_joined_and_left_as_often_as_asked(ring_pair: tuple[Port, Port]) -> None:
    near, _ = ring_pair
    group = ffi.new("fl_address_t *", {"family": 4, "bytes": [239, 1, 2, 3]})
    for _ in range(2):
        near.check(near.ops.join_group(near.object, group))
    for _ in range(2):
        near.check(near.ops.leave_group(near.object, group))
    with pytest.raises(OpFailedError, match="has not joined that group"):
        near.check(near.ops.leave_group(near.object, group))


def test_a_stopped_port_starts_again(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    near.leave()
    near.check(near.ops.stop(near.object))
    near.check(near.ops.start(near.object, 1))
    near.enter()
    near.send(frame(b"again"))
    assert far.receive(1)[0].data == frame(b"again")
