"""The life of endpoints and pollers: what open reports, what it refuses, what is left behind."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from framelane_sockets._native import ffi

from framelane.errors import TransportError
from framelane.transport import OpenContext
from framelane_sockets import plugin
from support.namespaces import inside, new_namespace

SO_BUSY_POLL = 46
REUSE = 1
CONNECT = 4


def descriptors() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_port_0_is_a_free_port_that_is_final_when_open_returns(sockets: Any, host: str) -> None:
    one, two = (sockets.open((host, 0), role=2) for _ in range(2))
    assert one.address[0] == host
    assert 0 not in (one.address[1], two.address[1])
    assert one.address[1] != two.address[1]


def test_an_address_in_use_is_refused_by_name(sockets: Any, op_failed: Any) -> None:
    first = sockets.open(("127.0.0.1", 0), role=2)
    with pytest.raises(op_failed) as failure:
        sockets.open(first.address, role=2)
    assert failure.value.code == -98
    assert failure.value.text == (
        f"bind 127.0.0.1:{first.address[1]}: Address already in use; another socket has this address and port"
    )


def test_an_address_is_shared_only_where_both_ask(sockets: Any, op_failed: Any) -> None:
    first = sockets.open(("127.0.0.1", 0), role=2, flags=REUSE)
    sockets.open(first.address, role=2, flags=REUSE)
    with pytest.raises(op_failed, match="Address already in use"):
        sockets.open(first.address, role=2)


@pytest.mark.parametrize(
    ("bind", "peer", "params", "code", "text"),
    [
        (("192.0.2.1", 0), None, {}, -99, "bind 192.0.2.1:0: Cannot assign requested address; no interface"),
        (("127.0.0.1", 0), ("::1", 9), {}, -97, "peer [::1]:9 is not of the bind address's family IPv4"),
        (("127.0.0.1", 0), None, {"flags": CONNECT}, -22, "endpoint 127.0.0.1:0 needs a peer to connect to"),
        (("127.0.0.1", 0), None, {"mtu_length": 65508}, -90, "mtu of 65508 bytes: UDP carries at most 65507"),
        (("127.0.0.1", 0), None, {"flags": 64}, -22, "endpoint with role 1, flags 0x40, ttl 0: not in the ABI"),
        (("127.0.0.1", 0), None, {"ttl": 256}, -22, "endpoint with role 1, flags 0x0, ttl 256: not in the ABI"),
        (("127.0.0.1", 0), None, {"role": 3}, -22, "endpoint with role 3, flags 0x0, ttl 0: not in the ABI"),
        (("127.0.0.1", 0), None, {"size": 8}, -22, "endpoint parameters have 8 bytes"),
        (("224.20.30.41", 9), None, {"interface": "192.0.2.7"}, -22, "endpoint 224.20.30.41:9 needs a peer"),
        (
            ("224.20.30.41", 9),
            None,
            {"role": 2, "interface": "192.0.2.7"},
            -99,
            "no interface has the address 192.0.2.7",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_with_its_reason(
    sockets: Any, op_failed: Any, bind: Any, peer: Any, params: Any, code: int, text: str
) -> None:
    before = descriptors()
    with pytest.raises(op_failed) as failure:
        sockets.open(bind, peer, **params)
    assert failure.value.code == code
    assert failure.value.text.startswith(text)
    assert descriptors() == before


def test_a_buffer_smaller_than_asked_is_noted_with_the_sysctl_to_run(sockets: Any) -> None:
    limits = {name: int(Path(f"/proc/sys/net/core/{name}mem_max").read_text()) for name in ("r", "w")}
    small = sockets.open(("127.0.0.1", 0), send_buffer_length=65536, receive_buffer_length=65536)
    assert (small.params.send_buffer_granted, small.params.receive_buffer_granted, small.note) == (65536, 65536, "")

    asked = max(limits.values()) * 2
    large = sockets.open(("127.0.0.1", 0), send_buffer_length=asked, receive_buffer_length=asked)
    assert large.params.send_buffer_granted == limits["w"]
    assert large.params.receive_buffer_granted == limits["r"]
    assert large.note == (
        f"send buffer: asked {asked} bytes, got {limits['w']}; sysctl -w net.core.wmem_max={asked}; "
        f"receive buffer: asked {asked} bytes, got {limits['r']}; sysctl -w net.core.rmem_max={asked}"
    )


def test_a_buffer_that_is_left_alone_has_the_length_that_the_system_says(sockets: Any) -> None:
    defaults = {name: int(Path(f"/proc/sys/net/core/{name}mem_default").read_text()) for name in ("r", "w")}
    opened = sockets.open(("127.0.0.1", 0))
    assert opened.params.send_buffer_granted == defaults["w"]
    assert opened.params.receive_buffer_granted == defaults["r"]


def is_readable(descriptor: int, timeout_ms: int) -> bool:
    # Not select(): it refuses numbers from 1024 on.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_ms))


def test_arm_wakes_for_what_comes_and_refuses_while_there_is_something(sockets: Any, run: Any) -> None:
    receiver = sockets.open(("127.0.0.1", 0), role=2)
    descriptor = sockets.ops.arm(sockets.poller)
    assert descriptor >= 0
    assert not is_readable(descriptor, 0)
    assert sockets.ops.disarm(sockets.poller) == 0

    late = sockets.open(("127.0.0.1", 0), role=2)
    assert sockets.ops.arm(sockets.poller) == descriptor
    for target in (receiver, late):
        sockets.send(receiver, run(b"wake", peer=run.peer(target.address)))
        assert is_readable(descriptor, 60_000)
        assert sockets.ops.disarm(sockets.poller) == 0
        assert sockets.ops.arm(sockets.poller) == -11
        assert [r.data for r in sockets.receive(1)] == [b"wake"]
        assert sockets.ops.arm(sockets.poller) == descriptor

    sockets.close_endpoint(late)
    assert not is_readable(descriptor, 0)


def test_what_the_kernel_drops_at_a_full_receive_buffer_is_counted(sockets: Any, run: Any) -> None:
    receiver = sockets.open(("127.0.0.1", 0), role=2, receive_buffer_length=4096)
    sender = sockets.open(("127.0.0.1", 0), receiver.address, flags=CONNECT)
    for _ in range(100):
        sockets.send(sender, run(bytes(1000)))
    received = 0
    while runs := sockets.poll():
        received += len(runs)
    assert received < 100
    assert sockets.stats()["rx-overflows"] == 100 - received
    sockets.close_endpoint(receiver)
    assert sockets.stats()["rx-overflows"] == 100 - received


def test_objects_in_use_are_not_closed(sockets: Any, op_failed: Any) -> None:
    endpoint = sockets.open(("127.0.0.1", 0))
    assert sockets.ops.close_endpoint(endpoint.handle) == -16
    assert sockets.ops.poller_close(sockets.poller) == -16
    with pytest.raises(TransportError, match="it is still in use"):
        sockets.transport.close()
    with pytest.raises(op_failed, match="queue 0 has a poller"):
        sockets.new_poller(0)
    other = sockets.new_poller(1)
    assert sockets.ops.poller_add(other, endpoint.handle, ffi.NULL) == -16
    assert sockets.ops.poller_remove(other, endpoint.handle) == -22
    assert sockets.ops.poller_close(other) == 0


def test_a_thousand_endpoints_and_twenty_transports_leave_nothing_behind(sockets: Any, run: Any) -> None:
    receiver = sockets.open(("127.0.0.1", 0), role=2)

    def use(count: int) -> None:
        for i in range(count):
            endpoint = sockets.open(("127.0.0.1", 0), receiver.address, flags=CONNECT if i % 2 else 0)
            sockets.send(endpoint, run(b"x"))
            sockets.receive(1)
            sockets.close_endpoint(endpoint)
        for _ in range(count // 50):
            type(sockets)().close()

    use(100)
    before = descriptors(), resident_bytes()
    use(1000)
    assert descriptors() == before[0]
    assert resident_bytes() - before[1] < 4 << 20


def test_a_forked_child_closes_nothing_of_its_parent(make_sockets: Any, run: Any) -> None:
    sockets = make_sockets()
    receiver = sockets.open(("127.0.0.1", 0), role=2)
    assert sockets.ops.arm(sockets.poller) >= 0
    child = os.fork()
    if child == 0:
        codes = (
            sockets.ops.close_endpoint(receiver.handle),
            sockets.ops.poller_close(sockets.poller),
            sockets.ops.close(sockets.object),
        )
        os._exit(0 if codes == (0, 0, 0) else 1)
    assert os.waitpid(child, 0)[1] == 0
    sockets.send(receiver, run(b"still here", peer=run.peer(receiver.address)))
    assert sockets.ops.arm(sockets.poller) == -11
    assert [r.data for r in sockets.receive(1)] == [b"still here"]


def test_importing_the_plugin_loads_nothing_native() -> None:
    script = (
        "import sys, framelane_sockets.plugin as p; p.framelane_transport();"
        "sys.exit('framelane_sockets._native' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_probe_reports_the_kernel_and_its_offloads() -> None:
    spec = plugin.framelane_transport()
    verdict = spec.probe(spec.settings())
    facts = {fact.name: fact.value for fact in verdict.facts}
    assert verdict.usable
    assert facts["kernel"] == os.uname().release
    assert facts["segmentation (UDP_SEGMENT)"].split(" ")[0] in {"64", "128", "256", "no"}
    assert verdict.capabilities.segmentation_offload == (facts["segmentation (UDP_SEGMENT)"] != "no")
    assert (verdict.capabilities.multicast, verdict.capabilities.can_arm, verdict.capabilities.queues) == (
        True,
        True,
        0,
    )


@pytest.mark.root
def test_without_loopback_the_least_segment_limit_is_assumed_and_said() -> None:
    with new_namespace(has_loopback=False) as name, inside(name):
        facts = {fact.name: fact.value for fact in plugin.probe(plugin.SocketsSettings()).facts}
    assert facts["segmentation (UDP_SEGMENT)"] == "64 segments, 65507 bytes (assumed: loopback is down)"


def test_a_host_of_another_abi_is_refused_with_both_versions(host: Any) -> None:
    host.table.abi_version = 2
    with pytest.raises(TransportError, match=r"ABI 2, \d+ bytes; this transport needs 0x4f484c46, ABI 1"):
        plugin.open_transport(plugin.SocketsSettings(), OpenContext(host.address, "test"))


def test_busy_polling_is_set_on_the_socket(make_sockets: Any) -> None:
    sockets = make_sockets(busy_poll_us=50)
    before = descriptors()
    assert sockets.open(("127.0.0.1", 0)).note == ""
    (descriptor,) = descriptors() - before
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, SO_BUSY_POLL) == 50
