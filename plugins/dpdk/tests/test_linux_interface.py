"""An interface is read from the kernel, kept, made anew, and set again as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.namespaces import new_namespace, run_in

CONFIGURE = """
    sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip link add eth0 address 02:00:00:00:00:05 type veth peer name far
    ip link set far up
    ip link set eth0 mtu 1400 up
    ip address add 10.77.0.5/24 broadcast + dev eth0
    ip address add 10.77.0.6/24 dev eth0 noprefixroute valid_lft 5000 preferred_lft 4000
    ip address add 10.78.0.1 peer 10.78.0.2/32 dev eth0
    ip address add fd77::5/64 dev eth0 nodad
    ip route add default via 10.77.0.1 metric 100 mtu 1300
    ip route add 10.80.0.0/16 via 10.77.0.2 src 10.77.0.6 table 77
    ip -6 route add default via fd77::1 metric 5
    ip -6 route add fd78::/48 via fd77::2 src fd77::5
"""
MAKE_ANEW = """
    ip link delete eth0
    ip link add other0 type veth peer name far
    ip link set far up
"""
ROUND_TRIP = """
import subprocess, sys
from dataclasses import replace
from framelane_dpdk import linux_interface

def read():
    return linux_interface.capture("eth0", pci_address="0000:03:00.0", driver="e1000e", boot_id="now")

before = read()
linux_interface.save(before)
subprocess.run(["sh", "-ec", sys.argv[1]], check=True)
saved = linux_interface.load("0000:03:00.0")
assert saved == before, saved
problems = linux_interface.configure(saved, "other0", report=print, now=lambda: saved.saved_at + 1000)
assert problems == [], problems
assert linux_interface.configure(saved, "eth0", report=lambda _: None, now=lambda: saved.saved_at + 1000) == []
after = read()
assert not after.lost, after.lost
def comparable(one):
    aged = tuple(replace(a, valid_s=a.valid_s and (a.valid_s + 50) // 100, preferred_s=None) for a in one.addresses)
    return replace(one, saved_at=0, addresses=tuple(sorted(aged, key=str)), routes=tuple(sorted(one.routes, key=str)))
aged = tuple(replace(a, valid_s=a.valid_s and a.valid_s - 1000) for a in before.addresses)
assert comparable(after) == comparable(replace(before, addresses=aged)), (before, after)
print("summary", before.summary())
"""


@pytest.mark.root
def test_every_address_and_route_is_set_again(tmp_path: Path) -> None:
    with new_namespace() as name:

        def run(*words: str) -> str:
            return run_in(name, "env", f"FRAMELANE_DPDK_STATE_DIRECTORY={tmp_path}", *words)

        run("sh", "-ec", CONFIGURE)
        told = run(sys.executable, "-c", ROUND_TRIP, MAKE_ANEW)
    assert "set link other0 name eth0" in told
    assert "gateway=('fd77::1', '10.77.0.1')" in told
