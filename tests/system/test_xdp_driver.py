"""Whole drivers over a veth pair, one or both of them on AF_XDP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from framelane.shm.counter_types import CounterType
from support.drivers import DriverProcess, start_driver
from support.namespaces import Link
from support.processes import Processes, wait_until
from support.transfers import faults, move_file

pytest.importorskip("framelane_xdp")

pytestmark = pytest.mark.root

MIB = 1024 * 1024
CHANNELS = {
    "IPv4": "aeron:udp?endpoint=10.77.0.2:40123",
    "IPv6": "aeron:udp?endpoint=[fd77::2]:40123",
    "multicast": "aeron:udp?endpoint=224.20.30.39:40456|interface=10.77.0.0/24",
}
PAIRS = [("xdp", "sockets"), ("sockets", "xdp"), ("xdp", "xdp")]

CONFIGURATION = """
[transport]
require = "xdp"

[transport.xdp]
interface = "eth0"
"""


@pytest.fixture
def wire(link: Link) -> Link:
    """The namespaces with IPv6 as well, and with checksums that are computed as on a machine behind a cable."""
    for namespace, address in ((link.left, "fd77::1/64"), (link.right, "fd77::2/64")):
        for words in (
            ["ip", "-n", namespace, "address", "add", address, "dev", "eth0", "nodad"],
            ["ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", "tx", "off"],
        ):
            subprocess.run(words, check=True, capture_output=True, timeout=20)
    return link


def start(
    processes: Processes, shared: Path, namespace: str, name: str, transport: str, loss: float = 0.0
) -> DriverProcess:
    """Start a driver whose endpoints are on a transport, or not at all."""
    settings = faults(loss, 1) | {"AERON_THREADING_MODE": "SHARED_NETWORK"}
    if transport == "xdp":
        file = shared / f"{name}.toml"
        file.write_text(CONFIGURATION)
        settings["FRAMELANE_CONFIG"] = str(file)
    else:
        settings["FRAMELANE_TRANSPORT_USE"] = transport
    return start_driver(processes, shared / name, name=name, namespace=namespace, settings=settings)


def figures(driver: DriverProcess) -> dict[str, int]:
    return {c.label: c.value for c in driver.cnc.counters() if c.type_id == CounterType.TRANSPORT_FIGURE}


def check_served_by(driver: DriverProcess, transport: str) -> None:
    """Datagrams went through the transport, and none was lost on the way to its neighbour."""
    if transport == "xdp":
        # Figures are copied once a second.
        wait_until(lambda: figures(driver)["xdp-tx-pkts"] and figures(driver)["xdp-rx-pkts"], "datagrams over AF_XDP")
        assert figures(driver)["xdp-tx-unresolved"] == figures(driver)["xdp-rx-checksum-failure-udp"] == 0
    assert not [entry for entry in driver.errors() if entry.startswith("(")]  # the others are notes


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("pair", PAIRS, ids=[f"{left} to {right}" for left, right in PAIRS])
def test_a_file_is_received_as_it_was_sent(
    processes: Processes, shared: Path, wire: Link, pair: tuple[str, str], kind: str, seed: int
) -> None:
    left = start(processes, shared, wire.left, "left", pair[0])
    right = start(processes, shared, wire.right, "right", pair[1])
    move_file(processes, shared, left, right, CHANNELS[kind], 8 * MIB, seed, 60)
    check_served_by(left, pair[0])
    check_served_by(right, pair[1])


def test_a_file_is_received_as_it_was_sent_in_spite_of_loss(
    processes: Processes, shared: Path, wire: Link, seed: int
) -> None:
    left = start(processes, shared, wire.left, "left", "xdp", loss=0.01)
    right = start(processes, shared, wire.right, "right", "xdp")
    move_file(processes, shared, left, right, CHANNELS["IPv4"], 8 * MIB, seed, 60)


def test_the_network_of_the_port_is_shown(processes: Processes, shared: Path, wire: Link, seed: int) -> None:
    left = start(processes, shared, wire.left, "left", "xdp")
    right = start(processes, shared, wire.right, "right", "sockets")
    move_file(processes, shared, left, right, CHANNELS["IPv4"], MIB, seed, 60)
    command = [sys.executable, "-m", "framelane", "transports", "--dir", str(left.directory), "--json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    (network,) = shown["netstacks"]
    assert (network["transport"], network["mode"], network["interface"]) == ("xdp", "kernel", "eth0")
    assert network["addresses"][:2] == ["10.77.0.1/24", "fd77::1/64"]
    assert network["neighbours"] >= 1
