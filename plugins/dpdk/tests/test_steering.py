"""Rules of rte_flow on a device that stays with Linux, as the device is asked for them; no virtual device has any."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from dpdk_port import child_environment

CHILD = """
from dataclasses import replace
from dpdk_port import Port, ffi, lib
from framelane_dpdk import target as target_module
from framelane_dpdk.pci import PciDevice
from support.native_ops import OpFailedError, set_address
from support.processes import wait_until

UNTAGGED = 0xFFFF
NOTHING = dict.fromkeys(("driver_override", "numa_node", "iommu_group"), None)
DEVICE = PciDevice("0000:03:00.0", 0x15B3, 0x1017, 0x020000, "mlx5_core", is_noiommu_group=False, interfaces=("lo",),
                   virtual_functions=0, **NOTHING)
found = target_module.find_target
target_module.find_target = lambda *given: replace(found(*given), pci=DEVICE, interface="lo")


def address(text, port):
    return set_address(ffi, ffi.new("fl_address_t *"), text, port)


def step(text):
    print(text, flush=True)
"""
STEERS = """
port = Port(vdev="net_null", start_queues=2)
data, control = address("10.1.0.5", 40123), address("fd01::5", 40124)
port.check(port.ops.add_filter(port.object, 1, UNTAGGED, data, ffi.NULL))
port.check(port.ops.add_filter(port.object, 0, 7, control, ffi.NULL))
step("reset")
assert lib.fl_dpdk_request_reset(port.object) == 0
wait_until(lambda: [port.poll(queue=queue) for queue in (0, 1)] and port.events(), "the reset")
step("remove")
port.check(port.ops.remove_filter(port.object, 1, UNTAGGED, data, ffi.NULL))
port.check(port.ops.remove_filter(port.object, 0, 7, control, ffi.NULL))
port.close()
"""
REFUSES = """
try:
    Port(vdev="net_null", start_queues=2)
except OpFailedError as error:
    print(error)
"""
DATA = "create ingress 1 eth ipv4 10.1.0.5/255.255.255.255 udp 40123 queue 1"
CONTROL = "create ingress 1 eth vlan 7 ipv6 fd01::5/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff udp 40124 queue 0"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("steering") / "libsteering.so"
    flags = subprocess.run(["pkg-config", "--cflags", "libdpdk"], check=True, capture_output=True, text=True).stdout
    source = Path(__file__).with_name("steering.c")
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *shlex.split(flags)]
    subprocess.run([*command, "-o", str(made), str(source)], check=True, timeout=60)
    return made


def run(library: Path, source: str, **environment: str) -> list[str]:
    preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()  # behind a sanitizer's
    done = subprocess.run(
        [sys.executable, "-c", CHILD + source],
        env=child_environment() | {"LD_PRELOAD": preloaded} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_endpoint_has_a_rule_to_its_queue_also_after_a_reset(library: Path) -> None:
    lines = run(library, STEERS)
    assert lines[:3] == ["isolate 1", DATA, CONTROL]
    at = lines.index("remove")
    assert (lines[3], lines[4], sorted(lines[5:at])) == ("reset", "isolate 1", sorted([DATA, CONTROL]))
    assert lines[at + 1 :] == ["destroy", "destroy"]


def test_a_device_that_stays_with_linux_and_takes_no_rule_is_refused(library: Path) -> None:
    lines = run(library, REFUSES, FLOW_TAKES_NOTHING="1")
    assert lines[0] == "isolate 1"
    assert "takes no rule for a UDP port; it takes CAP_NET_RAW" in lines[1]
