"""Every obstacle is reported with what was found and the next step, by the probe and, where it can, by open."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from framelane.errors import TransportError
from framelane.transport import Device
from framelane_xdp.network import Link, Network
from framelane_xdp.probe import probe
from framelane_xdp.settings import XdpSettings

PLUGIN = Path(__file__).resolve().parent.parent

#: Prints a verdict and what opening says, as JSON.
CHILD = """
import json, sys
sys.path[:0] = {path!r}
from framelane_xdp.probe import probe
from framelane_xdp.settings import XdpSettings
from framelane.errors import TransportError
verdict = probe(XdpSettings(interface="eth0", **json.loads({settings!r})))
obstacles = [[one.asked, one.found, one.where, one.next] for one in verdict.obstacles]
try:
    from conftest import Port
    Port(**json.loads({settings!r})).close()
    opening = ""
except TransportError as error:
    opening = str(error)
print(json.dumps([verdict.usable, obstacles, opening]))
"""


@pytest.fixture
def verdict_of(veth):
    """Probe ``eth0`` in the near namespace."""

    def look(**settings):
        with veth.inside(veth.near):
            return probe(XdpSettings(**{"interface": "eth0", **settings}))

    return look


@pytest.fixture
def verdict_under(veth):
    """Probe and open in a process under a command that takes something away: (usable, obstacles, error of open)."""

    def look(*prefix, **settings):
        code = CHILD.format(
            path=[str(PLUGIN / "tests"), str(PLUGIN.parents[1] / "tests")], settings=json.dumps(settings)
        )
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        command = ["ip", "netns", "exec", veth.near, *prefix, sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
        return json.loads(done.stdout)

    return look


def the_obstacle(verdict):
    assert not verdict.usable
    (obstacle,) = verdict.obstacles
    return obstacle


def fact(verdict, name):
    return next(one.value for one in verdict.facts if one.name == name)


@pytest.mark.root
def test_an_interface_without_obstacles_is_usable_with_its_facts(verdict_of):
    verdict = verdict_of()
    assert verdict.usable and verdict.obstacles == ()
    assert verdict.devices == (Device(name="eth0", interface="eth0"),)
    assert fact(verdict, "driver") == "veth"
    assert fact(verdict, "zero-copy") == "no: the kernel copies"
    assert fact(verdict, "native mode") == "yes"
    assert fact(verdict, "steering (ntuple)") == "no"
    capabilities = verdict.capabilities
    assert (capabilities.queues, capabilities.steering, capabilities.max_datagram) == (1, False, 1472)
    assert capabilities.multicast and capabilities.ipv6 and capabilities.kernel_coexists and capabilities.can_arm
    assert not (capabilities.zero_copy_rx or capabilities.zero_copy_tx or capabilities.loops_back)


def test_without_configuration_there_is_no_device():
    obstacles = probe(XdpSettings()).obstacles
    (obstacle,) = [one for one in obstacles if one.found == "no device configured"]
    assert "[transport.xdp]" in obstacle.next and 'interface = "' in obstacle.next


@pytest.mark.root
def test_an_interface_that_does_not_exist_is_named_with_those_that_do(verdict_of):
    obstacle = the_obstacle(verdict_of(interface="eth9"))
    assert (obstacle.asked, obstacle.found) == ("interface eth9", "there is none of that name; there are: eth0")


@pytest.mark.root
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_the_interface_with_the_default_route_is_refused_unless_allowed(veth, verdict_of, make_port, family):
    gateway = "10.77.0.2" if family == "-4" else "fd77::2"
    veth.run(veth.near, "ip", family, "route", "add", "default", "via", gateway)
    obstacle = the_obstacle(verdict_of())
    assert "eth0 carries it" in obstacle.found and "allow_default_route = true" in obstacle.next
    with pytest.raises(TransportError, match=r"eth0 carries the default route.*allow_default_route = true"):
        make_port(veth)
    assert veth.programs() == ""

    assert verdict_of(allow_default_route=True).usable
    make_port(veth, allow_default_route=True)


@pytest.mark.root
@pytest.mark.parametrize("capability", ["net_raw", "net_admin", "bpf"])
def test_a_missing_capability_is_named_with_how_to_grant_it(verdict_under, capability):
    # CAP_SYS_ADMIN would stand in for the last two.
    taken = f"-{capability},-sys_admin"
    usable, (obstacle,), opening = verdict_under("setpriv", f"--bounding-set={taken}")
    name = f"CAP_{capability.upper()}"
    assert not usable
    assert obstacle[1] == f"missing: {name}"
    assert f"AmbientCapabilities={name}" in obstacle[3] and f"--cap-add {name}" in obstacle[3]
    assert name in opening


@pytest.mark.root
def test_the_three_capabilities_are_enough(verdict_under):
    only = "--bounding-set=-all,+net_raw,+net_admin,+bpf"
    assert verdict_under("setpriv", only, ring_size=512) == [True, [], ""]


@pytest.mark.root
def test_a_limit_of_locked_memory_is_reported_with_what_is_needed(verdict_under):
    limited = ["prlimit", "--memlock=1048576:1048576", "setpriv", "--bounding-set=-ipc_lock,-sys_resource"]
    usable, (obstacle,), opening = verdict_under(*limited)
    assert not usable
    assert obstacle[1] == "the limit is 1048576 bytes" and "CAP_IPC_LOCK" in obstacle[3]
    assert "more than may be locked (1048576 bytes)" in opening and "CAP_IPC_LOCK" in opening

    assert verdict_under(*limited, ring_size=64) == [True, [], ""]


@pytest.mark.root
def test_a_forbidden_system_call_is_told_from_a_missing_capability(verdict_under):
    """Root of a user namespace has every capability there, and none that bpf(2) asks for."""
    usable, obstacles, opening = verdict_under("unshare", "--user", "--map-root-user")
    assert not usable and opening
    assert any("user namespace" in one[3] for one in obstacles)


@pytest.mark.root
def test_huge_pages_that_are_not_there_are_counted(verdict_of, veth, make_port):
    obstacle = the_obstacle(verdict_of(hugepages=True, ring_size=16384))
    assert obstacle.asked == "48 huge pages of 2 MiB" and "sysctl vm.nr_hugepages=48" in obstacle.next
    with pytest.raises(TransportError, match=r"map 48 huge pages of 2 MiB.*vm.nr_hugepages"):
        make_port(veth, hugepages=True, ring_size=16384)


@pytest.mark.root
def test_more_queues_than_the_device_steers_to_are_refused(make_veth, make_port):
    veth = make_veth(queues=4)
    with veth.inside(veth.near):
        obstacle = the_obstacle(probe(XdpSettings(interface="eth0", queues=2)))
    assert obstacle.found == "1: driver veth, 4 device queues, ntuple steering off or not there"
    assert "transport.xdp.queues = 1" in obstacle.next
    with pytest.raises(TransportError, match=r"2 queues on eth0: ntuple steering is off.*queues = 1"):
        make_port(veth, queues=2)


@pytest.mark.root
def test_a_port_of_one_queue_is_not_started_with_two(veth, make_port, op_failed):
    port = make_port(veth, start=False)
    with pytest.raises(op_failed, match="start 2 queues: eth0 offers 1"):
        port.start(2)
    port.start(1)
    with pytest.raises(op_failed, match="queue 0 carries everything"):
        port.add_filter("10.77.0.1", 4000, queue=1)


@pytest.mark.root
def test_zero_copy_on_a_driver_without_it_is_refused(verdict_of, veth, make_port):
    obstacle = the_obstacle(verdict_of(copy_mode="zero-copy"))
    assert obstacle.found == "driver veth has none" and 'copy_mode = "copy"' in obstacle.next
    with pytest.raises(TransportError, match=r"queue 0 of eth0 with zero-copy: Operation not supported.*copy_mode"):
        make_port(veth, copy_mode="zero-copy")


@pytest.mark.root
def test_native_mode_on_a_driver_without_it_is_refused_and_auto_takes_generic(veth, make_port):
    veth.run(veth.near, "ip", "link", "add", "ifb9", "type", "ifb")
    veth.run(veth.near, "ip", "link", "set", "ifb9", "up")
    with veth.inside(veth.near):
        obstacle = the_obstacle(probe(XdpSettings(interface="ifb9", mode="native")))
    assert obstacle.found == "driver ifb has none" and 'mode = "generic"' in obstacle.next
    with pytest.raises(TransportError, match=r"attach the XDP program to ifb9 in native mode.*mode = .generic."):
        make_port(veth, interface="ifb9", mode="native")
    port = make_port(veth, interface="ifb9")
    assert "generic mode, because driver ifb refused native mode" in port.ffi.string(port.facts.note).decode()


@pytest.mark.root
def test_an_old_kernel_is_named(verdict_of, monkeypatch):
    monkeypatch.setattr(platform, "release", lambda: "5.4.0-42-generic")
    obstacle = the_obstacle(verdict_of())
    assert (obstacle.asked, obstacle.found) == ("Linux 5.9 or newer", "Linux 5.4.0-42-generic")


@pytest.mark.root
def test_packets_longer_than_an_older_kernel_takes_are_refused_with_the_limit(make_veth, monkeypatch):
    monkeypatch.setattr(platform, "release", lambda: "6.1.0-20-amd64")
    veth = make_veth(mtu=9000)
    with veth.inside(veth.near):
        obstacle = the_obstacle(probe(XdpSettings(interface="eth0")))
        assert obstacle.found.startswith("at most 3822") and "ip_mtu = 3822" in obstacle.next
        assert probe(XdpSettings(interface="eth0", ip_mtu=3822)).usable


@pytest.mark.root
def test_an_interface_that_is_down_is_noted(verdict_of, veth):
    veth.run(veth.near, "ip", "link", "set", "eth0", "down")
    verdict = verdict_of()
    assert verdict.usable
    assert [one.next for one in verdict.obstacles] == ["ip link set dev eth0 up"]


@pytest.mark.root
def test_a_vlan_without_an_interface_for_it_is_refused(verdict_of, veth, make_port):
    obstacle = the_obstacle(verdict_of(vlan=5))
    assert obstacle.next == "ip link add link eth0 name eth0.5 type vlan id 5"
    with pytest.raises(TransportError, match="no interface for VLAN 5"):
        make_port(veth, vlan=5)


@pytest.mark.root
def test_an_interface_below_the_one_with_the_default_route_is_refused(veth, verdict_of):
    """The frames of a bridge pass its ports."""
    for command in ("add br0 type bridge", "set eth0 master br0", "set br0 up"):
        veth.run(veth.near, "ip", "link", *command.split())
    assert verdict_of().usable
    veth.run(veth.near, "ip", "route", "add", "default", "dev", "br0", "table", "77")
    assert "eth0 carries it (of br0)" in the_obstacle(verdict_of()).found


NETWORK = Network(
    links=(
        Link(1, "lo"),
        Link(2, "eth0", master=9),
        Link(3, "eth1", master=9),
        Link(4, "eth2"),
        Link(5, "eth2.5", lower=4, vlan=5),
        Link(6, "market", lower=4, vlan=6),
        Link(9, "bond0"),
        Link(10, "bond0.5", lower=9, vlan=5),
    ),
    default_routes=frozenset({10}),
)


def test_a_vlan_interface_is_found_by_tag_and_carrier():
    assert NETWORK.vlan_interface("eth2", 5) == Link(5, "eth2.5", lower=4, vlan=5)
    assert NETWORK.vlan_interface("eth2", 6) == Link(6, "market", lower=4, vlan=6)
    assert NETWORK.vlan_interface("eth1", 5) is None
    assert NETWORK.vlan_interface("absent", 5) is None


def test_the_default_route_of_a_vlan_on_a_bond_is_carried_by_all_below():
    over = {name: NETWORK.default_route_over(name) for name in NETWORK.names}
    carriers = {"bond0.5", "bond0", "eth0", "eth1"}
    assert over == {name: "bond0.5" if name in carriers else None for name in NETWORK.names}


@pytest.mark.root
def test_without_the_libraries_headers_the_plugin_builds_and_its_probe_names_the_packages(tmp_path):
    copy = tmp_path / "xdp"
    shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("*.so", "build", "*.egg-info", "tests"))
    (tmp_path / "empty").mkdir()
    report = "from framelane_xdp.probe import probe; from framelane_xdp.settings import XdpSettings; import json; "
    report += "print(json.dumps([[o.found, o.next] for o in probe(XdpSettings(interface='lo')).obstacles]))"
    script = f"""
        mount --bind {tmp_path}/empty /usr/include/xdp && mount --bind {tmp_path}/empty /usr/include/bpf && cd {copy} &&
        {sys.executable} setup.py -q build_ext --inplace && PYTHONPATH={copy}/src {sys.executable} -c "{report}"
    """
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "built without its native module: xdp/xsk.h (libxdp-dev), bpf/bpf.h (libbpf-dev) not found" in done.stderr
    ((found, next_step),) = json.loads(done.stdout.splitlines()[-1])
    assert "headers of libxdp and libbpf were missing" in found
    assert "apt install libxdp-dev libbpf-dev" in next_step and "pip install --force-reinstall" in next_step


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ring_size": 1000}, "not a power of two"),
        ({"mode": "generic", "copy_mode": "zero-copy"}, 'needs mode = "native"'),
        ({"neighbours": "own"}, "ARP and NDP stay with Linux"),
        ({"interface": "a/b"}, "pattern"),
        ({"interface": "much-too-long-a-name"}, "at most 15"),
        ({"interfaces": "eth0"}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        XdpSettings(**settings)
