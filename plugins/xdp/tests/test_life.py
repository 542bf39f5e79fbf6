"""The program on an interface: nobody else's is touched, ours goes with us, and a lost device is told once."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framelane.errors import TransportError
from support.processes import wait_until

pytestmark = pytest.mark.root

FAR = "10.77.0.2"
NEAR = "10.77.0.1"
ENODEV = -19
LINK_UP, LINK_DOWN, REMOVED, NOTE = 1, 2, 4, 6

#: Opens a port in this namespace, says so, and waits.
CHILD = """
import sys
sys.path[:0] = {path!r}
from conftest import Port
port = Port()
print("open", flush=True)
sys.stdin.read()
"""

#: Does nothing; attached by netlink as any other program's author would.
FOREIGN = '__attribute__((section("xdp"), used)) int somebody(void *c) { return 2; }\nchar l[] \
__attribute__((section("license"))) = "GPL";'


@pytest.fixture
def driver(veth):
    """A process with an open port."""
    code = CHILD.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[3] / "tests")])
    command = ["ip", "netns", "exec", veth.near, sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def bpf_files(tmp_path):
    """A file system for pins."""
    path = tmp_path / "bpf"
    path.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def foreign(veth, tmp_path, bpf_files):
    """Somebody else's program on the near interface."""
    source, target = tmp_path / "foreign.c", tmp_path / "foreign.o"
    source.write_text(FOREIGN)
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", target], check=True)
    subprocess.run(["bpftool", "prog", "load", target, bpf_files / "somebody"], check=True)
    veth.run(veth.near, "bpftool", "net", "attach", "xdp", "pinned", str(bpf_files / "somebody"), "dev", "eth0")
    return "somebody"


def link_of(veth):
    """The id of the BPF link by which the program is on the near interface."""
    program = int(re.search(r"prog/xdp id (\d+)", veth.programs())[1])
    links = json.loads(subprocess.run(["bpftool", "-j", "link"], check=True, capture_output=True, text=True).stdout)
    (link,) = [link["id"] for link in links if link.get("prog_id") == program]
    return str(link)


def test_the_program_is_there_while_the_port_is_open_and_gone_afterwards(veth, make_port):
    assert "fl_xdp_filter" not in veth.programs()
    port = make_port(veth)
    assert "fl_xdp_filter" in veth.programs()
    port.close()
    assert veth.programs() == ""


def test_a_killed_driver_leaves_nothing(veth, make_port, driver):
    assert "fl_xdp_filter" in veth.programs()
    driver.kill()
    driver.wait()
    wait_until(lambda: veth.programs() == "", "the program to go")
    make_port(veth)


def test_what_keeps_a_killed_driver_s_program_alive_is_overcome(veth, make_port, driver, bpf_files):
    subprocess.run(["bpftool", "link", "pin", "id", link_of(veth), bpf_files / "kept"], check=True)
    with pytest.raises(TransportError, match=f"another framelane driver.*{driver.pid}"):
        make_port(veth)
    driver.kill()
    driver.wait()
    assert "fl_xdp_filter" in veth.programs()

    port = make_port(veth)
    ((_, text),) = port.events()
    assert f"took off the XDP program that process {driver.pid} left behind" in text


def test_a_program_of_somebody_else_stays_and_is_named(veth, make_port, foreign):
    before = veth.programs()
    assert foreign in before
    with pytest.raises(TransportError, match=r"eth0 has an XDP program that is not framelane's \(program \d+, 'somebo"):
        make_port(veth)
    assert veth.programs() == before


def test_the_program_detached_by_force_is_a_lost_device(veth, make_port):
    port = make_port(veth)
    assert [kind for kind, _ in port.events()] == [NOTE]
    subprocess.run(["bpftool", "link", "detach", "id", link_of(veth)], check=True)
    assert "program was detached from interface eth0" in port.wait_for_event(REMOVED)
    assert port.events() == []
    assert is_dead(port)
    port.close()
    make_port(veth)


def test_a_deleted_interface_is_a_lost_device_and_a_new_one_can_be_opened(veth, make_port, datagram):
    port = make_port(veth)
    port.add_filter(NEAR, 4000)
    frames, count = port.allocate(4)
    veth.run(veth.near, "ip", "link", "delete", "eth0")
    assert "interface eth0" in port.wait_for_event(REMOVED)
    assert port.events() == []
    assert is_dead(port)
    port.ops.tx_free(port.object, 0, frames, count)

    veth.link.make_pair()
    port.close()
    again = make_port(veth)
    again.add_filter(NEAR, 4000)
    frame = datagram(NEAR, 4000, b"again").frame()
    veth.far_packets().send(frame)
    assert again.receive(1) == [frame]


def is_dead(port):
    """Every call says that the device is gone."""
    null, ops, it = port.ffi.NULL, port.ops, port.object
    address = port.address(NEAR, 4000)
    calls = [
        ops.attributes(it, port.attributes),
        ops.add_filter(it, 0, 0xFFFF, address, null),
        ops.remove_filter(it, 0, 0xFFFF, address, null),
        ops.join_group(it, address),
        ops.leave_group(it, address),
        ops.rx_burst(it, 0, port.ffi.new("fl_rx_frame_t[1]"), 1),
        ops.tx_alloc(it, 0, port.ffi.new("fl_tx_frame_t[1]"), 1),
        ops.tx_burst(it, 0, port.ffi.new("fl_tx_frame_t[1]"), 0),
        ops.tx_reap(it, 0, null, 0),
        ops.arm(it, 0),
        ops.housekeeping(it, 0),
    ]
    return calls == [ENODEV] * len(calls)


def test_sending_over_a_deleted_interface_notices_it_at_once(veth, make_port, datagram, op_failed):
    port = make_port(veth)
    veth.run(veth.near, "ip", "link", "delete", "eth0")
    with pytest.raises(op_failed, match=str(ENODEV)):
        port.send(*[datagram(FAR, 4000, b"x", source=NEAR).frame()] * 1000)


def test_link_down_and_up_are_told_and_frames_pass_again(veth, port, datagram):
    port.add_filter(NEAR, 4000)
    veth.run(veth.far, "ip", "link", "set", "eth0", "down")
    assert port.wait_for_event(LINK_DOWN) == "eth0"
    veth.run(veth.far, "ip", "link", "set", "eth0", "up")
    assert port.wait_for_event(LINK_UP) == "eth0"

    veth.run(veth.near, "ip", "link", "set", "eth0", "down")
    assert port.wait_for_event(LINK_DOWN) == "eth0"
    port.burst(datagram(FAR, 4000, b"x", source=NEAR).frame())
    veth.run(veth.near, "ip", "link", "set", "eth0", "up")
    assert port.wait_for_event(LINK_UP) == "eth0"
    frame = datagram(NEAR, 4000, b"again").frame()
    veth.far_packets().send(frame)
    assert port.receive(1) == [frame]


def test_a_start_without_link_succeeds_and_says_so(veth, make_port):
    veth.run(veth.far, "ip", "link", "set", "eth0", "down")
    port = make_port(veth, link_wait_ms=10)
    assert port.wait_for_event(LINK_DOWN) == "eth0"


def test_stopping_gives_the_datagrams_back_to_the_kernel(veth, port, datagram):
    near, far = veth.near_packets(), veth.far_packets()
    port.add_filter(NEAR, 4000)
    frame = datagram(NEAR, 4000, b"hello").frame()
    far.send(frame)
    assert port.receive(1) == [frame]
    port.stop()
    far.send(frame)
    assert near.receive(1, lambda one: one == frame) == [frame]
    assert port.stats()["program-no-socket"] == 1
    port.start()
    far.send(frame)
    assert port.receive(1) == [frame]


def test_a_port_whose_queue_is_in_use_is_not_closed(veth, port):
    with pytest.raises(TransportError, match="it is still in use"):
        port.transport.close()
    assert "fl_xdp_filter" in veth.programs()


def test_a_forked_child_does_nothing_to_the_device(veth, port, datagram):
    port.add_filter(NEAR, 4000)
    child = os.fork()
    if child == 0:
        try:
            port.transport.close()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    frame = datagram(NEAR, 4000, b"still here").frame()
    veth.far_packets().send(frame)
    assert port.receive(1) == [frame]


def test_the_program_goes_at_close_even_if_a_forked_child_lives_on(veth, make_port):
    port = make_port(veth)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    port.close()
    assert veth.programs() == ""
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)


def test_opening_and_closing_leaks_nothing(veth, make_port, datagram):
    def in_use():
        # Maps, program, link and sockets are descriptors; frame memory and rings are mappings.
        gc.collect()
        status = Path("/proc/self/status").read_text()
        locked = [line for line in status.splitlines() if line.startswith(("VmPin", "VmLck"))]
        areas = Path("/proc/self/maps").read_text().splitlines()
        return len(list(Path("/proc/self/fd").iterdir())), locked, len(areas)

    def cycle():
        port = make_port(veth)
        port.add_filter(NEAR, 4000)
        port.send(*[datagram(FAR, 4000, b"x", source=NEAR).frame()] * 100)
        port.close()

    cycle()
    before = in_use()
    for _ in range(20):
        cycle()
    after = in_use()
    assert after[:2] == before[:2]
    assert after[2] <= before[2] + 2  # the allocator's own
    assert veth.programs() == ""


@pytest.mark.usefixtures("foreign")
def test_failed_opens_leak_nothing(veth, make_port):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for _ in range(3):
        with pytest.raises(TransportError):
            make_port(veth)
        with pytest.raises(TransportError):
            make_port(veth, copy_mode="zero-copy")
    assert descriptors() == before
