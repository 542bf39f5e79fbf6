"""Ports whose device goes away, or whose network changes, under running drivers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framelane.shm.counter_types import ChannelStatus, CounterType
from support.ends import RIGHT, Ends, channel
from support.namespaces import Link, run_in
from support.processes import Processes, wait_until
from support.watched_stream import WatchedStream, watch_stream

pytest.importorskip("framelane_xdp")
pytest.importorskip("framelane_dpdk")

pytestmark = pytest.mark.root

#: However slow the machine is, a device is back before the image is given up.
PATIENT = {"AERON_IMAGE_LIVENESS_TIMEOUT": "60s"}
DEVICES = ["xdp", "af_packet"]
NAMES = {"xdp": "xdp", "af_packet": "dpdk", "own af_packet": "dpdk"}


@pytest.fixture
def start(processes: Processes, shared: Path, link: Link) -> Callable[..., tuple[WatchedStream, Ends]]:
    def start(left: str, right: str, **given: object) -> tuple[WatchedStream, Ends]:
        ends = Ends(processes, shared, link, (left, right), settings=PATIENT, **given)
        drivers = dict(zip(("left", "right"), ends.start(), strict=True))
        return watch_stream(processes, drivers, channel("IPv4", RIGHT)), ends

    return start


def detach_program(namespace: str) -> None:
    """Take the XDP program off eth0 by force."""
    shown = run_in(namespace, "ip", "-d", "link", "show", "eth0")
    program = int(re.search(r"prog/xdp id (\d+)", shown)[1])
    links = json.loads(subprocess.run(["bpftool", "-j", "link"], check=True, capture_output=True, text=True).stdout)
    (number,) = [one["id"] for one in links if one.get("prog_id") == program]
    subprocess.run(["bpftool", "link", "detach", "id", str(number)], check=True, capture_output=True)


def networks(stream: WatchedStream, side: str) -> list[str]:
    """The labels of the counters that show a port's network."""
    counters = stream.drivers[side].cnc.counters()
    return [counter.label for counter in counters if counter.type_id == CounterType.TRANSPORT_NETSTACK]


def check_failed_over(stream: WatchedStream, side: str, transport: str, why: str) -> None:
    """The endpoint goes on over sockets, at the address that it had, and says what it passed over."""
    before = stream.endpoint(side)
    wait_until(lambda: stream.endpoint(side).transport == "sockets", "fail-over")
    stream.goes_on()
    after = stream.endpoint(side)
    assert (after.status, after.label) == (ChannelStatus.ACTIVE, before.label)
    passed = dict(after.passed_over)
    assert "has lost its device" in passed[transport] and why in passed[transport]
    assert networks(stream, side) == []


def test_a_program_detached_by_force_fails_over_to_sockets_and_loses_nothing(start, link: Link) -> None:
    stream, _ = start("xdp", "xdp", required=False)
    for side, namespace in (("left", link.left), ("right", link.right)):
        assert stream.endpoint(side).transport == "xdp"
        detach_program(namespace)
        check_failed_over(stream, side, "xdp", "was detached from interface eth0")
    stream.finish()


def test_an_unplugged_virtual_device_fails_over_to_sockets_and_loses_nothing(start) -> None:
    program = [sys.executable, "-m", "support.unpluggable"]
    stream, _ = start("af_packet", "af_packet", required=False, programs=(program, program))
    for side in ("left", "right"):
        assert stream.endpoint(side).transport == "dpdk"
        stream.drivers[side].process.kill(signal.SIGUSR1)
        check_failed_over(stream, side, "dpdk", "it was unplugged")
        (port,) = [one for one in stream.drivers[side].cnc.counters() if one.label.startswith("dpdk-port: ")]
        assert (port.type_id, port.value) == (75, 0), "its link is gone"
    stream.finish()


@pytest.mark.parametrize("transport", DEVICES)
def test_an_interface_deleted_and_made_again_is_bound_again_and_the_stream_goes_on(
    start, link: Link, transport: str
) -> None:
    stream, ends = start(transport, transport)
    labels = {side: stream.endpoint(side).label for side in ("left", "right")}

    link.delete_pair()
    for side in labels:
        wait_until(lambda side=side: stream.endpoint(side).status == ChannelStatus.ERRORED, "status -1")
        address = labels[side].split()[-1]
        assert f"at {address} is on no transport since {NAMES[transport]} lost its device" in stream.errors(side)
        assert "eth0" in stream.errors(side)
        assert networks(stream, side) == []
    link.make_pair()
    ends.set_up()

    for side in labels:
        wait_until(lambda side=side: stream.endpoint(side).status == ChannelStatus.ACTIVE, "status 1")
        assert (stream.endpoint(side).transport, stream.endpoint(side).label) == (NAMES[transport], labels[side])
        wait_until(lambda side=side: len(networks(stream, side)) == 1, "the network of the port")
    stream.goes_on()
    stream.finish()


@pytest.mark.parametrize("transport", [*DEVICES, "own af_packet"])
def test_a_link_goes_down_and_up_and_a_neighbour_changes_its_address_and_nothing_is_lost(
    start, link: Link, transport: str
) -> None:
    stream, _ = start(transport, "sockets")

    run_in(link.right, "ip", "link", "set", "eth0", "down")
    wait_until(lambda: "link down" in stream.errors("left"), "link down")
    run_in(link.right, "ip", "link", "set", "eth0", "up")
    stream.goes_on()

    # The far end sends on from its new address, and Linux there asks for ours.
    run_in(link.right, "ip", "link", "set", "eth0", "address", "02:00:00:00:77:02")
    stream.goes_on()

    assert stream.endpoint("left").transport == NAMES[transport]
    stream.finish()
