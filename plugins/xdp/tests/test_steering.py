"""ntuple rules as bytes: ``struct ethtool_rx_flow_spec`` of linux/ethtool.h, which no virtual interface takes; and what
is done to a device's table of them.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

native = pytest.importorskip(
    "framelane_xdp._native", reason="built without the headers of libxdp", exc_type=ImportError
)
ffi, lib = native.ffi, native.lib

UDP_V4, UDP_V6, EXTENDED = 0x02, 0x06, 0x80000000


def rule(host, port, *, queue=0, vlan=0xFFFF, source=None):
    """(type, value, value of the VLAN tag, mask, mask of the tag, queue)"""
    buffer = ffi.new("uint8_t[512]")
    length = lib.fl_xdp_steering_rule(queue, vlan, address(host, port), address(source, 0), buffer, len(buffer))
    assert length == 168
    kind, value, extra, mask, extra_mask, cookie, _ = struct.unpack(
        "=I52s20s52s20s4xQI4x", bytes(ffi.buffer(buffer, length))
    )
    return kind, value, extra[10:12], mask, extra_mask[10:12], cookie


def address(host, port):
    made = ffi.new("fl_address_t *")
    if host:
        packed = ip_address(host).packed
        made.family = 4 if len(packed) == 4 else 6
        made.port = port
        ffi.memmove(made.bytes, packed, len(packed))
    return made


def filled(*parts):
    return b"".join(parts).ljust(52, b"\0")


def test_an_ipv4_rule_matches_destination_and_port():
    kind, value, _, mask, tag_mask, queue = rule("10.1.2.3", 40123, queue=1)
    assert (kind, queue, tag_mask) == (UDP_V4, 1, b"\0\0")
    assert value == filled(bytes(4), bytes([10, 1, 2, 3]), bytes(2), (40123).to_bytes(2, "big"))
    assert mask == filled(bytes(4), b"\xff" * 4, bytes(2), b"\xff" * 2)


def test_an_ipv4_rule_with_a_source_matches_it_too():
    _, value, _, mask, _, _ = rule("239.1.2.3", 40123, source="10.9.8.7")
    assert value[:8] == bytes([10, 9, 8, 7, 239, 1, 2, 3])
    assert mask[:8] == b"\xff" * 8


@pytest.mark.parametrize("source", [None, "fd77::9"])
def test_an_ipv6_rule_matches_destination_port_and_source(source):
    kind, value, _, mask, _, queue = rule("fd77::1", 40123, queue=3, source=source)
    from_bytes = ip_address(source).packed if source else bytes(16)
    assert (kind, queue) == (UDP_V6, 3)
    assert value == filled(from_bytes, ip_address("fd77::1").packed, bytes(2), (40123).to_bytes(2, "big"))
    assert mask == filled(b"\xff" * 16 if source else bytes(16), b"\xff" * 16, bytes(2), b"\xff" * 2)


def test_a_rule_in_a_vlan_matches_its_tag_without_the_priority():
    kind, _, tag, _, tag_mask, _ = rule("10.1.2.3", 40123, vlan=77)
    assert (kind, tag, tag_mask) == (UDP_V4 | EXTENDED, (77).to_bytes(2, "big"), b"\x0f\xff")


CHILD = """
import os, sys
sys.path[:0] = {path!r}
from conftest import Port
from support.native_ops import OpFailedError
port = Port(start=False)
assert (port.facts.steers, port.attributes.queues) == (1, 2), "two queues by default, where the device steers"
port.start(2)
def add(number, queue):
    try:
        port.add_filter("10.77.0.1", number, queue=queue)
    except OpFailedError as error:
        print(error, flush=True)
"""

FILL = (
    CHILD
    + """
for number in range(5000, 5008):
    add(number, 1)
print("remove", flush=True)
port.remove_filter("10.77.0.1", 5002, queue=1)
print("close", flush=True)
port.close()
"""
)

MEET = (
    CHILD
    + """
add(4000, 0)
add(4001, 1)
port.close()
"""
)

KILLED = (
    CHILD
    + """
add(4000, 0)
add(5000, 1)
add(5001, 1)
port.remove_filter("10.77.0.1", 5000, queue=1)
os.kill(os.getpid(), 9)
"""
)

UNNOTED = (
    CHILD
    + """
print(*port.host.log, sep="\\n", flush=True)
add(5000, 1)
port.close()
"""
)

AGAIN = (
    CHILD
    + """
print("started", flush=True)
add(5001, 0)
port.close()
"""
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library that keeps rules for a veth."""
    made = tmp_path_factory.mktemp("ntuple") / "libntuple.so"
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [*command, "-o", str(made), str(Path(__file__).with_name("ntuple.c")), "-ldl"], check=True, timeout=60
    )
    return made


@pytest.fixture
def driver(make_veth, library, tmp_path):
    """Runs one of the programs above on a device of two queues that has these rules of an administrator; returns the
    lines that both wrote.
    """
    veth = make_veth(queues=2)
    tests = Path(__file__).parent

    def run(program, rules="", is_killed=False):
        preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()  # behind a sanitizer's
        words = [
            f"LD_PRELOAD={preloaded}",
            f"FRAMELANE_TEST_TABLE={tmp_path / 'table'}",
            f"FRAMELANE_TEST_RULES={rules}",
            f"FRAMELANE_XDP_STATE_DIRECTORY={state_directory(tmp_path)}",
        ]
        code = program.format(path=[str(tests), str(tests.parents[2] / "tests")])
        with veth.inside(veth.near):
            done = subprocess.run(
                ["env", *words, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
            )
        assert done.returncode == (-signal.SIGKILL if is_killed else 0), done.stderr
        return done.stdout.splitlines()

    return run


def state_directory(directory):
    return directory / "run" / "xdp"


@pytest.mark.root
def test_each_endpoint_has_a_rule_to_its_queue_until_it_is_closed(driver, tmp_path):
    lines = driver(FILL, "4000:0")
    # From the end of the table, where rules have the lowest priority.
    assert lines[:7] == [f"insert {6 - i}: 10.77.0.1:{5000 + i} queue 1" for i in range(7)]
    assert "insert an ntuple rule for 10.77.0.1:5007 to queue 1" in lines[7] and "No space left" in lines[7]
    assert lines[8:11] == ["remove", "delete 4: 10.77.0.1:5002 queue 1", "close"]
    assert sorted(lines[11:]) == [f"delete {6 - i}: 10.77.0.1:{5000 + i} queue 1" for i in (6, 5, 4, 3, 1, 0)]
    assert not list(state_directory(tmp_path).iterdir()), "nothing is left to remember"


@pytest.mark.root
def test_an_administrators_rule_serves_or_is_in_the_way_and_stays(driver):
    (line,) = driver(MEET, "4000:0 4001:0")
    assert line.endswith(
        "direct 10.77.0.1:4001 to queue 1 of eth0: ntuple rule 6 of the device, which this driver did not make, steers "
        "it to queue 0; delete it (ethtool -N eth0 delete 6), or set transport.xdp.queues = 1, which needs no rules"
    )


@pytest.mark.root
def test_a_killed_drivers_rules_and_no_others_go_at_the_next_start(driver):
    assert driver(KILLED, "4000:0", is_killed=True) == [
        "insert 6: 10.77.0.1:5000 queue 1",
        "insert 5: 10.77.0.1:5001 queue 1",
        "delete 6: 10.77.0.1:5000 queue 1",
    ]
    assert driver(AGAIN) == [
        "delete 5: 10.77.0.1:5001 queue 1",
        "started",
        "insert 6: 10.77.0.1:5001 queue 0",
        "delete 6: 10.77.0.1:5001 queue 0",
    ]


@pytest.mark.root
def test_a_driver_that_cannot_note_its_rules_says_so_and_works(driver, tmp_path):
    state_directory(tmp_path).parent.write_text("a file where the directory belongs")
    said, *done = driver(UNNOTED)
    assert f"note the ntuple rules of eth0 in {state_directory(tmp_path)}: Not a directory; " in said
    assert done == ["insert 7: 10.77.0.1:5000 queue 1", "delete 7: 10.77.0.1:5000 queue 1"]
