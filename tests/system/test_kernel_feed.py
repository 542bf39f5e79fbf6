"""What Linux knows of an interface reaches the netstack's tables: real netlink, in a namespace joined to another."""

from __future__ import annotations

import os
import subprocess
import time
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from framelane.netstack.feed import Feed, FeedLog
from framelane.netstack.netlink import NetlinkNews, NetlinkRequests
from framelane.netstack.tables import Neighbour, NeighbourState, NetworkRoute
from support.namespaces import inside
from support.processes import wait_until

pytestmark = pytest.mark.root

NEAR, FAR, ABSENT = "10.77.0.1", "10.77.0.2", "10.77.0.99"


class RecordingTables:
    """The tables of a netstack that is told everything and sends nothing."""

    def __init__(self):
        self.addresses, self.routes, self.known, self.history = [], [], {}, []
        self.used, self.wanted = set(), []
        self._reader, self._writer = os.pipe()

    def close(self):
        os.close(self._reader)
        os.close(self._writer)

    def set_addresses(self, addresses):
        self.addresses = list(addresses)
        return True

    def set_routes(self, routes):
        self.routes = list(routes)
        return True

    def set_neighbour(self, neighbour):
        self.history.append((str(neighbour.address), neighbour.state))
        if neighbour.state is NeighbourState.NONE:
            self.known.pop(neighbour.address, None)
        else:
            self.known[neighbour.address] = neighbour
        return True

    def wish(self, address):
        self.wanted.append(ip_address(address))
        os.write(self._writer, b"\0")

    def wishes(self):
        if not self.wanted:
            return []
        wanted, self.wanted = self.wanted, []
        os.read(self._reader, 1000)
        return wanted

    @property
    def wish_descriptor(self):
        return self._reader

    def neighbours(self):
        now_ns, known = time.monotonic_ns(), list(self.known.values())
        return [Neighbour(n.address, n.state, n.mac, now_ns if n.address in self.used else 0) for n in known]

    def state(self, address):
        found = self.known.get(ip_address(address))
        return found.state if found else NeighbourState.NONE

    def mac(self, address):
        found = self.known.get(ip_address(address))
        return found.mac_text if found else None


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=20)


def set_reachable_time(namespace, milliseconds):
    for key in ("base_reachable_time_ms", "delay_first_probe_time"):
        value = milliseconds if key.endswith("ms") else 1
        subprocess.run(
            ["ip", "netns", "exec", namespace, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/neigh/eth0/{key}"],
            check=True,
            timeout=20,
        )


def mac_of(namespace):
    words = ["ip", "netns", "exec", namespace, "cat", "/sys/class/net/eth0/address"]
    return subprocess.run(words, check=True, timeout=20, capture_output=True, text=True).stdout.strip()


def eth0():
    requests = NetlinkRequests()
    try:
        return next(one for one in requests.links() if one.name == "eth0")
    finally:
        requests.close()


@pytest.fixture
def followed(link):
    """Begin to follow eth0 of the left namespace; returns the tables and what was logged."""
    running = []

    def follow(**options):
        tables, said = RecordingTables(), []
        with inside(link.left):
            feed = Feed(tables, eth0(), FeedLog(said.append, said.append), time.monotonic_ns, **options)
            feed.start()
        running.append((feed, tables))
        return tables, said

    yield follow
    for feed, tables in running:
        feed.close()
        tables.close()


def test_what_is_there_at_the_start_is_known_when_the_feed_is_made(link, followed):
    ip("-n", link.left, "address", "add", "fd00::1/64", "dev", "eth0", "nodad")
    ip("-n", link.left, "route", "add", "default", "via", FAR, "mtu", "1300", "metric", "5")
    hops = ("nexthop", "via", FAR, "dev", "eth0", "nexthop", "via", "10.77.0.3", "dev", "eth0")
    ip("-n", link.left, "route", "add", "10.9.0.0/16", *hops)
    ip("-n", link.left, "neighbour", "add", "10.77.0.5", "lladdr", "02:00:00:00:00:05", "dev", "eth0")

    tables, said = followed()

    assert tables.addresses[:2] == [ip_interface("10.77.0.1/24"), ip_interface("fd00::1/64")]
    assert NetworkRoute(ip_network("0.0.0.0/0"), ip_address(FAR), metric=5, mtu=1300) in tables.routes
    assert NetworkRoute(ip_network("10.77.0.0/24"), source=ip_address(NEAR)) in tables.routes
    multipath = [route for route in tables.routes if route.network == ip_network("10.9.0.0/16")]
    assert [str(route.gateway) for route in multipath] in (["10.77.0.2"], ["10.77.0.3"])
    assert not any(route.network.is_multicast for route in tables.routes)
    assert (tables.state("10.77.0.5"), tables.mac("10.77.0.5")) == (NeighbourState.PERMANENT, "02:00:00:00:00:05")
    assert said == []


def test_addresses_and_routes_follow_the_kernel(link, followed):
    tables, said = followed()
    ip("-n", link.left, "address", "add", "10.78.0.1/24", "dev", "eth0")
    wait_until(lambda: ip_interface("10.78.0.1/24") in tables.addresses, "the new address")
    ip("-n", link.left, "route", "add", "10.9.0.0/16", "via", "10.78.0.9", "src", "10.78.0.1")
    wait_until(lambda: ip_address("10.78.0.9") in [r.gateway for r in tables.routes], "the new route")
    # The kernel takes the route away with its source address, and says nothing of the route.
    ip("-n", link.left, "address", "delete", "10.78.0.1/24", "dev", "eth0")
    wait_until(lambda: ip_address("10.78.0.9") not in [r.gateway for r in tables.routes], "the route gone")
    assert ip_interface("10.78.0.1/24") not in tables.addresses
    # A policy rule is no part of this, and that is said once, when the feed is made.
    assert said == []
    ip("-n", link.left, "rule", "add", "from", "10.78.0.0/24", "table", "100")
    assert "routing rules" in followed()[1][0]


def test_link_state_and_mtu_limit_what_is_sent(link, followed):
    tables, said = followed()
    ip("-n", link.left, "link", "set", "eth0", "mtu", "1400")
    wait_until(lambda: {route.mtu for route in tables.routes} == {1400}, "routes with the smaller mtu")
    ip("-n", link.left, "link", "set", "eth0", "down")
    wait_until(lambda: tables.routes == [], "no routes while the link is down")
    ip("-n", link.left, "link", "set", "eth0", "up")
    wait_until(lambda: ip_network("10.77.0.0/24") in [r.network for r in tables.routes], "the routes again")
    wait_until(lambda: "eth0 is up" in said, "the link up")
    assert said[0] == "eth0: mtu changed from 1500 to 1400; packets up to that are sent"
    assert "eth0 is down" in said


def test_a_deleted_interface_leaves_nothing_to_send_with(link, followed):
    tables, said = followed()
    ip("-n", link.left, "link", "delete", "eth0")
    wait_until(lambda: (tables.addresses, tables.routes) == ([], []), "no addresses and no routes")
    wait_until(lambda: "eth0 was deleted" in said, "the message")


def test_a_wished_neighbour_is_resolved_and_one_that_is_not_there_fails(link, followed):
    tables, said = followed()
    tables.wish(FAR)
    tables.wish(ABSENT)
    wait_until(lambda: tables.state(FAR) is NeighbourState.REACHABLE, "the neighbour")
    assert tables.mac(FAR) == mac_of(link.right)
    wait_until(lambda: tables.state(ABSENT) is NeighbourState.FAILED, "the failure", 15)
    assert said == [f"eth0: neighbour {ABSENT} does not answer"]


def test_a_wish_is_met_without_privilege_by_a_datagram(link, followed, monkeypatch):
    def refuse(self, interface_index, address):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(NetlinkRequests, "use_neighbour", refuse)
    tables, said = followed()
    tables.wish(FAR)
    wait_until(lambda: tables.mac(FAR) == mac_of(link.right), "the neighbour")
    assert said == []


def test_a_neighbour_in_use_is_confirmed_again_and_never_lost(link, followed):
    set_reachable_time(link.left, 1000)
    tables, _ = followed()
    tables.used.add(ip_address(FAR))
    tables.wish(FAR)
    wait_until(lambda: tables.state(FAR) is NeighbourState.REACHABLE, "the neighbour")
    with inside(link.left):
        kernel = NetlinkNews(eth0().index)
    begin, confirmed = len(tables.history), []

    def is_confirmed_often():
        confirmed.extend(one for one in kernel.take() if "REACHABLE" in str(one))
        return len(confirmed) >= 4

    wait_until(is_confirmed_often, "the kernel asking and being answered again and again", 40)
    kernel.close()
    assert {state for _, state in tables.history[begin:]} <= {NeighbourState.REACHABLE, NeighbourState.PROBE}


def test_a_neighbour_that_the_kernel_forgets_stays_usable_while_it_is_in_use(link, followed):
    tables, _ = followed()
    tables.wish(FAR)
    wait_until(lambda: tables.state(FAR) is NeighbourState.REACHABLE, "the neighbour")
    tables.used.add(ip_address(FAR))
    begin = len(tables.history)
    ip("-n", link.left, "neighbour", "flush", "dev", "eth0")
    wait_until(lambda: (FAR, NeighbourState.REACHABLE) in tables.history[begin:], "found again")
    tables.used.clear()
    ip("-n", link.left, "neighbour", "flush", "dev", "eth0")
    wait_until(lambda: tables.state(FAR) is NeighbourState.NONE, "gone, as nobody uses it")


def test_a_neighbour_that_moves_is_followed(link, followed):
    tables, _ = followed()
    tables.wish(FAR)
    wait_until(lambda: tables.state(FAR) is NeighbourState.REACHABLE, "the neighbour")
    ip("-n", link.right, "link", "set", "eth0", "address", "02:00:00:00:77:02")
    ip("-n", link.left, "neighbour", "replace", FAR, "lladdr", "02:00:00:00:77:02", "dev", "eth0", "nud", "reachable")
    wait_until(lambda: tables.mac(FAR) == "02:00:00:00:77:02", "the new MAC address")


def test_lost_messages_lead_to_a_full_reading(link, followed, tmp_path):
    tables, said = followed(receive_buffer_length=1)  # the kernel makes it 2304 bytes
    lines = [f"neighbour replace 10.77.0.{i} lladdr 02:00:00:00:00:{i:02x} dev eth0" for i in range(10, 200)]
    batch = tmp_path / "batch"
    while not any("read again" in one for one in said):
        batch.write_text("\n".join([*lines, "neighbour flush nud permanent dev eth0", *lines]) + "\n")
        ip("-n", link.left, "-batch", str(batch))
    wait_until(lambda: len(tables.known) == 190, "all neighbours")
    ip("-n", link.left, "neighbour", "flush", "nud", "permanent", "dev", "eth0")
    wait_until(lambda: not tables.known, "none of them any more")


def test_a_reading_that_fails_is_tried_again(link, followed, monkeypatch):
    tables, said = followed()
    read = NetlinkRequests.routes

    def fail(self, interface_index):
        monkeypatch.setattr(NetlinkRequests, "routes", read)
        raise TimeoutError("timed out")

    monkeypatch.setattr(NetlinkRequests, "routes", fail)
    ip("-n", link.left, "route", "add", "10.9.0.0/16", "via", FAR)
    wait_until(lambda: ip_network("10.9.0.0/16") in [route.network for route in tables.routes], "the route")
    assert said == ["eth0: what the kernel knows could not be read: timed out"]
