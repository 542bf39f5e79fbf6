"""The control protocols in own mode against the Linux kernel: a host that resolves and pings us, and a bridge that asks
for memberships and follows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.control_stack import PROBE, REACHABLE, SECOND, STALE, ControlStack, build_library
from support.namespaces import Link, run_in
from support.wire import Wire, mac_of, take_from_kernel

pytestmark = pytest.mark.root

OURS, KERNEL = "10.77.0.1", "10.77.0.2"
OURS6, KERNEL6 = "fd00:77::1", "fd00:77::2"
OURS_LINK = "fe80::77:1"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_library(tmp_path_factory.mktemp("control"))


@pytest.fixture
def device(link: Link) -> Link:
    """The left device is ours; the right one is the kernel's, with an IPv6 address too."""
    take_from_kernel(link.left)
    run_in(link.right, "ip", "address", "add", f"{KERNEL6}/64", "dev", "eth0", "nodad")
    return link


@pytest.fixture
def stack(library: Any, device: Link) -> Iterator[ControlStack]:
    addresses = [f"{OURS}/24", f"{OURS6}/64", f"{OURS_LINK}/64"]
    stack = ControlStack(library, addresses, mac=mac_of(device.left), reachable_ns=SECOND)
    yield stack
    stack.close()


def neighbour_of_kernel(namespace: str, address: str) -> dict[str, Any]:
    lines = json.loads(run_in(namespace, "ip", "-j", "neigh", "show", address, "dev", "eth0") or "[]")
    return lines[0] if lines else {}


def ping(namespace: str, address: str, count: int) -> list[str]:
    return ["ip", "netns", "exec", namespace, "ping", "-n", "-c", str(count), "-i", "0.05", "-W", "5", address]


@pytest.mark.programs("ping")
@pytest.mark.parametrize("address", [OURS, OURS6, OURS_LINK])
def test_the_kernel_resolves_us_and_all_its_pings_are_answered(stack: ControlStack, device: Link, address: str) -> None:
    target = f"{address}%eth0" if address == OURS_LINK else address
    with Wire(stack, device.left) as wire:
        stack.start()
        printed = wire.run_beside(*ping(device.right, target, 20))
        assert " 0% packet loss" in printed
        assert re.search(r"20 (packets )?received", printed)
        wire.run_until(lambda: "REACHABLE" in neighbour_of_kernel(device.right, address).get("state", []))
    assert neighbour_of_kernel(device.right, address)["lladdr"] == stack.mac
    assert stack.counts()["echo-answers"] == 20


@pytest.mark.parametrize("address", [KERNEL, KERNEL6])
def test_we_resolve_the_kernel_and_keep_its_address_while_we_stream_for_a_minute(
    stack: ControlStack, device: Link, address: str
) -> None:
    mac = mac_of(device.right)
    with Wire(stack, device.left, speed=20) as wire:
        stack.start()
        stack.resolve(address)
        wire.run_until(lambda: stack.state(address) == REACHABLE)
        generation, begun = stack.generation(), stack.now_ns
        seen = set()

        def is_over() -> bool:
            state, known = stack.use(address)
            seen.add(state)
            assert known == mac
            return stack.now_ns - begun >= 60 * SECOND

        wire.run_until(is_over)
    assert seen <= {REACHABLE, STALE, PROBE}
    assert seen >= {REACHABLE, STALE}
    assert stack.generation() == generation
    assert stack.counts()["neighbour-requests"] >= 6


@pytest.mark.parametrize("address", [OURS, OURS6])
def test_our_announcement_replaces_what_the_kernel_knew(stack: ControlStack, device: Link, address: str) -> None:
    run_in(device.right, "ip", "neigh", "add", address, "dev", "eth0", "lladdr", "02:00:00:00:00:99", "nud", "stale")
    with Wire(stack, device.left) as wire:
        stack.start()
        wire.run_until(lambda: neighbour_of_kernel(device.right, address)["lladdr"] == stack.mac)


@pytest.mark.parametrize("address", [f"{OURS}/24", f"{OURS6}/64"])
def test_a_kernel_that_has_our_address_is_reported_when_we_start(
    stack: ControlStack, device: Link, address: str
) -> None:
    run_in(device.right, "ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    with Wire(stack, device.left) as wire:
        stack.start()
        wire.run_until(lambda: stack.counts().get("duplicate-address", 0) > 0)
    assert mac_of(device.right) in stack.log()


def bridge_over(namespace: str, igmp_version: int, mld_version: int) -> None:
    """Put a bridge over the kernel's device that asks every second and forgets after three."""
    run_in(namespace, "ip", "address", "flush", "dev", "eth0")
    run_in(namespace, "ip", "link", "add", "br0", "address", mac_of(namespace), "type", "bridge")
    settings = {
        "mcast_snooping": 1, "mcast_querier": 1, "mcast_igmp_version": igmp_version, "mcast_mld_version": mld_version,
        "mcast_query_use_ifaddr": 1, "mcast_startup_query_count": 2, "mcast_startup_query_interval": 100,
        "mcast_query_interval": 100, "mcast_query_response_interval": 50, "mcast_membership_interval": 300,
        "mcast_querier_interval": 300, "mcast_last_member_count": 2, "mcast_last_member_interval": 50,
    }  # fmt: skip
    for name, value in settings.items():
        run_in(namespace, "ip", "link", "set", "br0", "type", "bridge", name, str(value))
    run_in(namespace, "ip", "address", "add", f"{KERNEL}/24", "dev", "br0")
    run_in(namespace, "ip", "address", "add", "fe80::77:2/64", "dev", "br0", "nodad")
    run_in(namespace, "ip", "link", "set", "eth0", "master", "br0")
    run_in(namespace, "ip", "link", "set", "br0", "up")


def groups_of_bridge(namespace: str) -> set[str]:
    lines = json.loads(run_in(namespace, "bridge", "-j", "mdb", "show", "dev", "br0"))
    return {entry["grp"] for entry in lines[0]["mdb"] if entry["port"] == "eth0"}


@pytest.mark.parametrize(("igmp_version", "mld_version"), [(3, 2), (2, 1)])
def test_a_bridge_that_follows_memberships_delivers_to_us_from_join_to_leave(
    stack: ControlStack, device: Link, igmp_version: int, mld_version: int
) -> None:
    bridge_over(device.right, igmp_version, mld_version)
    groups = {"239.77.1.1", "ff15::77:1"}
    with Wire(stack, device.left) as wire:
        stack.start()
        # The bridge begins to follow when it has been querier for a query's time; our members answer its queries.
        for group in groups:
            stack.join(group)
        wire.run_until(lambda: groups <= groups_of_bridge(device.right))
        # Longer than the bridge remembers without an answer.
        begun = stack.now_ns
        reports = stack.counts()["multicast-reports"]
        wire.run_until(lambda: stack.now_ns - begun > 5 * SECOND)
        assert groups <= groups_of_bridge(device.right)
        assert stack.counts()["multicast-reports"] >= reports + 4
        for group in groups:
            stack.leave(group)
        wire.run_until(lambda: not groups & groups_of_bridge(device.right))
