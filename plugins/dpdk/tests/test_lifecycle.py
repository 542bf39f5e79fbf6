"""Opening, closing, losing and resetting devices."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from dpdk_port import OpFailedError, Port, buffers, frame
from framelane_dpdk._native import ffi, lib

from framelane.errors import TransportError
from support.processes import wait_until

KINDS = {
    "net_ring": {"vdev": "net_ring", "vdev_args": {"link": "life"}},
    "net_memif": {"vdev": "net_memif", "vdev_args": {"role": "client", "socket": "/tmp/framelane-test-nobody"}},
    "net_null": {"vdev": "net_null", "vdev_args": {"size": 100}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_rounds_of_opening_and_closing_leave_nothing(kind: str) -> None:
    def one_round() -> None:
        port = Port(**KINDS[kind])
        frames, count = port.alloc(1)
        port.ops.tx_free(port.object, 0, frames, count)
        if count:
            port.send(frame(b"left in the ring"))
        port.poll()
        port.close()

    one_round()
    before, descriptors = buffers(), len(list(Path("/proc/self/fd").iterdir()))
    threads = threads_of_process()
    for _ in range(20):
        one_round()
    assert buffers() == before == (0, 0, 0, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    wait_until(lambda: threads_of_process() <= threads, "threads of closed devices to end")


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_is_told_where_its_buffers_are(make_port: Callable[..., Port], kind: str) -> None:
    make_port(**KINDS[kind])
    _, count, _, unreachable = buffers()
    assert count > 0
    assert unreachable == 0


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_an_unplugged_device_is_gone_for_good_and_says_so_once(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    frames, count = near.alloc(4)
    stop = threading.Event()
    polls = threading.Event()
    ends: list[int] = []

    def poll() -> None:
        far.ops.queue_enter(far.object, 0)
        received = ffi.new("fl_rx_frame_t[]", 32)
        while not stop.is_set():
            code = far.ops.rx_burst(far.object, 0, received, 32)
            polls.set()
            if code < 0:
                ends.append(code)
                break
        far.ops.queue_leave(far.object, 0)

    far.leave()
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert polls.wait(10)
        assert lib.fl_dpdk_unplug(far.object) == 0
    finally:
        stop.set() if not ends else None
        thread.join(10)
        stop.set()
    assert ends == [-lib.FL_ENODEV]
    assert [kind for kind, _ in far.events()] == [lib.FL_EVENT_REMOVED]
    far.enter()
    for _ in range(2):
        for call in (far.poll, far.reap, lambda: far.alloc(1), lambda: far.attributes, lambda: far.send()):
            with pytest.raises(OpFailedError) as caught:
                call()
            assert caught.value.code == -lib.FL_ENODEV
        assert far.housekeeping() == -lib.FL_ENODEV
        assert far.events() == []
    assert far.stats()["rx-frames"] == 0
    near.ops.tx_free(near.object, 0, frames, count)
    assert near.send(frame(b"to nobody")) == 1


def test_a_device_taken_from_dpdk_by_others_is_gone(run_python: Callable[..., object]) -> None:
    source = """
import ctypes
from dpdk_port import Port, lib
port = Port(vdev="net_null")
port.leave()
assert ctypes.CDLL("librte_eal.so.%d" % ABI).rte_eal_hotplug_remove(b"vdev", b"net_null0") == 0
assert [kind for kind, _ in port.events()] == [lib.FL_EVENT_REMOVED], port.events()
assert port.housekeeping() == -lib.FL_ENODEV
port.close()
again = Port(vdev="net_null")
again.close()
print("done")
"""
    version = ffi.new("fl_dpdk_version_t *")
    lib.fl_dpdk_version(version)
    done = run_python(f"ABI = {version.abi_major}\n{source}")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr  # type: ignore[attr-defined]


@pytest.mark.parametrize(("event", "told"), [(3, lib.FL_EVENT_RESET), (6, lib.FL_EVENT_REMOVED)], ids=["RESET", "RMV"])
def test_what_the_devices_driver_reports_is_done(make_port: Callable[..., Port], event: int, told: int) -> None:
    """RTE_ETH_EVENT_INTR_RESET and RTE_ETH_EVENT_INTR_RMV, by the function with which drivers report them."""
    port = make_port(**KINDS["net_null"])
    version = ffi.new("fl_dpdk_version_t *")
    lib.fl_dpdk_version(version)
    ethdev = ctypes.CDLL(f"librte_ethdev.so.{version.abi_major}")
    ethdev.rte_eth_dev_allocated.restype = ctypes.c_void_p
    device = ethdev.rte_eth_dev_allocated(b"net_null0")
    assert device
    ethdev.rte_eth_dev_callback_process(ctypes.c_void_p(device), event, None)
    events: list[tuple[int, str]] = []

    def is_told() -> bool:
        if told == lib.FL_EVENT_RESET:
            port.poll()
        events.extend(port.events())
        return bool(events)

    wait_until(is_told, "the event")
    assert [kind for kind, _ in events] == [told]
    if told == lib.FL_EVENT_REMOVED:
        assert port.housekeeping() == -lib.FL_ENODEV
    else:
        assert port.poll()


def test_a_reset_waits_for_the_queue_and_the_port_goes_on(ring_pair: tuple[Port, Port]) -> None:
    near, far = ring_pair
    group = ffi.new("fl_address_t *", {"family": 4, "bytes": [239, 1, 2, 3]})
    near.check(near.ops.join_group(near.object, group))
    assert lib.fl_dpdk_request_reset(near.object) == 0
    events: list[tuple[int, str]] = []

    def is_reset() -> bool:
        near.poll()  # a queue that is being reset yields nothing and fails nothing
        events.extend(near.events())
        return bool(events)

    wait_until(is_reset, "the reset")
    assert [kind for kind, _ in events] == [lib.FL_EVENT_RESET]
    near.send(frame(b"after"))
    assert far.receive(1)[0].data == frame(b"after")
    far.send(frame(b"back"))
    assert near.receive(1)[0].data == frame(b"back")
    near.check(near.ops.leave_group(near.object, group))


def test_closing_waits_for_a_queue_to_be_left(ring_pair: tuple[Port, Port]) -> None:
    near, _ = ring_pair
    with pytest.raises(TransportError, match="it is still in use"):
        near.transport.close()
    near.send(frame(b"still open"))


@pytest.mark.usefixtures("ring_pair")
def test_a_link_has_two_ends_that_agree(make_port: Callable[..., Port]) -> None:
    with pytest.raises(TransportError, match="link pair has two ends, and both are in use"):
        Port(vdev="net_ring", vdev_args={"link": "pair"})
    make_port(vdev="net_ring", vdev_args={"link": "other"})
    with pytest.raises(TransportError, match=r"link other: this end asks for MTU 9000.*the other has 1500"):
        Port(vdev="net_ring", vdev_args={"link": "other"}, ip_mtu=9000)


def test_a_device_is_opened_once_in_a_process(make_port: Callable[..., Port]) -> None:
    make_port(vdev="net_null7")
    with pytest.raises(TransportError, match="net_null7 is in use by another driver of this process"):
        Port(vdev="net_null7")


def test_what_dpdk_refuses_is_reported_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"DPDK cannot take net_pcap0,rx_pcap=.*nothing"):
        Port(vdev="net_pcap", vdev_args={"rx_pcap": str(tmp_path / "nothing")})


def test_too_little_memory_is_an_error_that_says_what_to_do(run_python: Callable[..., object]) -> None:
    done = run_python(
        "from dpdk_port import Port\nPort(vdev='net_null', memory=16, rx_queue_size=16384, tx_queue_size=16384)"
    )
    assert "give DPDK more memory (memory = MiB), or lower rx_queue_size" in done.stderr  # type: ignore[attr-defined]
