"""Selection: order, rules, the channel's word, and complete reasons for everything passed over."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from framelane.errors import TransportError
from framelane.netstack.routes import Interface, Route
from framelane.transport import Capabilities, Device, Obstacle, Verdict
from framelane.transport.config import Rule, TransportConfig
from framelane.transport.question import Question, ask
from framelane.transport.registry import BrokenPlugin, Claim, Registry, discover
from framelane.transport.selection import check_required, effective_order, select, source_for
from framelane.transport.standing import Standing, considered, stand

SOCKETS = Verdict(True, Capabilities(multicast=True, ipv6=True, queues=0, loops_back=True))
EFVI = Verdict(True, Capabilities(multicast=True, queues=4, max_datagram=1472), devices=(Device("eth2", "eth2"),))
DPDK = Verdict(
    True,
    Capabilities(queues=1, max_datagram=1472, kernel_coexists=False),
    devices=(Device("0000:03:00.0", addresses=("10.3.0.5/24",), reaches=("10.4.0.0/16",)),),
)
BROKEN = Verdict(False, obstacles=(Obstacle("/dev/sfc_char", "it does not exist", "/dev", "load sfc_char"),))


class FakeRoutes:
    """Three interfaces: lo, eth0 with the default route, eth2 with 10.2.0.0/16."""

    def interfaces(self):
        def make(name, index, *addresses):
            own = tuple(ip_interface(address) for address in addresses)
            return Interface(name, index, 1500, True, name == "lo", own)

        return [
            make("lo", 1, "127.0.0.1/8", "::1/128"),
            make("eth0", 2, "10.0.0.5/24", "fd00::5/64"),
            make("eth2", 3, "10.2.0.5/16", "fd02::5/64"),
        ]

    def route_to(self, address, *, interface_index=0):
        for interface in self.interfaces():
            if any(address == own.ip for own in interface.addresses) or (address.is_loopback and interface.is_loopback):
                return Route("lo", 1, address, is_local=True)
        for interface in self.interfaces():
            for own in interface.addresses:
                if address.version == own.version and address in own.network:
                    return Route(interface.name, interface.index, own.ip)
        return Route("eth0", 2, ip_address("10.0.0.5")) if address.version == 4 else None


def to(address, port=40123, **given):
    """Return the question of a publication to an address."""
    return ask(
        FakeRoutes(), label=f"aeron:udp?endpoint={address}:{port}", address=ip_address(address), port=port,
        endpoint=f"{address}:{port}", sends=True, **given,
    )  # fmt: skip


def at(address, port=40123, **given):
    """Return the question of a subscription at an address."""
    return ask(
        FakeRoutes(), label=f"aeron:udp?endpoint={address}:{port}", address=ip_address(address), port=port,
        endpoint=f"{address}:{port}", sends=False, **given,
    )  # fmt: skip


def standing_of(**verdicts):
    wanted = {name: Standing(name, verdict, is_wanted=True) for name, verdict in verdicts.items()}
    absent = (name for name in ("efvi", "dpdk", "xdp", "vma", "sockets") if name not in verdicts)
    return wanted | {name: Standing(name, reason="is not installed", is_mentioned=False) for name in absent}


ALL = standing_of(efvi=EFVI, dpdk=DPDK, sockets=SOCKETS)


def passed(chosen):
    return {one.name: one.why for one in chosen.passed_over}


@pytest.mark.parametrize(
    ("question", "transport"),
    [
        (to("10.2.0.9"), "efvi"),  # its interface has the route
        (to("10.0.0.9"), "sockets"),  # another interface has it
        (to("10.3.0.9"), "dpdk"),  # the network of a device that the kernel does not have
        (to("10.4.77.1"), "dpdk"),  # behind that device's gateway
        (to("10.2.0.5"), "sockets"),  # an address of this host
        (to("127.0.0.1"), "sockets"),
        (to("10.3.0.5"), "sockets"),  # an address of the device that the kernel does not have
        (to("fd00::9"), "sockets"),
        (to("10.2.0.9", mtu_length=8192), "sockets"),
        (to("10.3.0.9", mtu_length=8192), "sockets"),
        (to("224.0.1.1", interface_address=ip_address("10.2.0.5")), "efvi"),
        (to("224.0.1.1"), "sockets"),
        (at("10.2.0.5"), "efvi"),
        (at("10.3.0.5"), "dpdk"),
        (at("10.3.0.6"), "sockets"),
        (at("10.0.0.5"), "sockets"),
        (at("0.0.0.0"), "sockets"),
        (at("::"), "sockets"),
        (at("224.0.1.1", interface_address=ip_address("10.2.0.5")), "efvi"),
        (at("127.0.0.1"), "sockets"),
    ],
)
def test_the_route_decides_among_usable_transports(question, transport):
    chosen = select(TransportConfig(), ALL, question)
    assert chosen.transport == transport
    assert chosen.why.endswith(".")
    assert all(one.why.endswith(".") for one in chosen.passed_over)


def test_a_send_endpoint_takes_the_preferred_source_of_its_route():
    assert to("10.2.0.9").source == ip_address("10.2.0.5")
    assert to("10.2.0.9", interface_address=ip_address("10.0.0.5")).interface == "eth0"


@pytest.mark.parametrize(
    ("verdict", "question", "source"),
    [
        (EFVI, to("10.2.0.9"), "10.2.0.5"),  # of the kernel's route
        (DPDK, to("10.3.0.9"), "10.3.0.5"),  # the kernel's route leads elsewhere
        (DPDK, to("10.4.0.9"), None),  # the transport knows its gateways
        (DPDK, to("224.0.1.1", interface_address=ip_address("10.3.0.5")), None),
        (SOCKETS, to("10.2.0.9"), None),
    ],
)
def test_an_endpoint_on_a_device_is_bound_to_the_device_s_own_address(verdict, question, source):
    assert source_for(verdict, question) == (None if source is None else ip_address(source))


def test_an_unusable_transport_is_a_fallback_with_its_reason_and_an_absent_one_is_silent():
    chosen = select(TransportConfig(), standing_of(efvi=BROKEN, sockets=SOCKETS), to("10.2.0.9"))
    assert chosen.transport == "sockets"
    assert chosen.is_fallback
    assert passed(chosen) == {"efvi": "efvi is not usable: /dev/sfc_char: it does not exist (/dev)."}


def test_another_interface_is_no_fallback():
    chosen = select(TransportConfig(), ALL, to("10.0.0.9"))
    assert not chosen.is_fallback
    assert set(passed(chosen)) == {"efvi", "dpdk"}
    assert "eth0" in passed(chosen)["efvi"]


@pytest.mark.parametrize(
    ("question", "verdict", "words"),
    [
        (to("224.0.1.1", interface_address=ip_address("10.2.0.5")), {"multicast": False}, "no multicast"),
        (to("fd02::9"), {"ipv6": False}, "IPv4 only"),
        (to("10.2.0.9", mtu_length=1504), {"max_datagram": 1472}, "1504 bytes"),
        (to("fd02::9", mtu_length=1472), {"max_datagram": 1472, "max_datagram_ipv6": 1452}, "at most 1452"),
    ],
)
def test_a_missing_capability_is_an_obstacle_that_names_it(question, verdict, words):
    able = Verdict(True, Capabilities(**{"multicast": True, "ipv6": True, **verdict}), devices=EFVI.devices)
    chosen = select(TransportConfig(), standing_of(efvi=able, sockets=SOCKETS), question)
    assert chosen.transport == "sockets"
    assert chosen.is_fallback
    assert words in passed(chosen)["efvi"]


def test_one_queue_is_an_obstacle_only_under_explicit_dedicated():
    assert select(TransportConfig(), ALL, to("10.3.0.9")).transport == "dpdk"
    chosen = select(TransportConfig(), ALL, to("10.3.0.9"), dedicated=True)
    assert chosen.transport == "sockets"
    assert "DEDICATED" in passed(chosen)["dpdk"]
    with pytest.raises(TransportError, match="DEDICATED"):
        select(TransportConfig(use=("dpdk",), use_is_default=False), ALL, to("10.3.0.9"), dedicated=True)


@pytest.mark.parametrize(
    "rule",
    [
        {"interface": "eth0"},
        {"address": "10.0.0.0/8"},
        {"endpoint": "10.0.0.9:40123"},
        {"endpoint": "*:40123"},
        {"interface": "eth0", "address": "10.0.0.0/24", "endpoint": "*:40123"},
    ],
)
def test_a_rule_puts_its_transport_first(rule):
    config = TransportConfig(rules=(Rule(transport="sockets", **rule),))
    anywhere = Verdict(True, Capabilities())
    both = standing_of(efvi=anywhere, sockets=SOCKETS)
    assert select(TransportConfig(), both, to("10.0.0.9")).transport == "efvi"
    chosen = select(config, both, to("10.0.0.9"))
    assert (chosen.transport, chosen.passed_over) == ("sockets", ())
    assert "rule" in chosen.why
    other = Rule(transport="sockets", interface="eth0", endpoint="*:1")
    assert select(TransportConfig(rules=(other,)), both, to("10.0.0.9")).transport == "efvi"


def test_a_rule_whose_transport_fails_falls_back_visibly_unless_it_requires():
    standings = standing_of(efvi=BROKEN, sockets=SOCKETS)
    rule = {"transport": "efvi", "address": "10.2.0.0/16"}
    chosen = select(TransportConfig(rules=(Rule(**rule),)), standings, to("10.2.0.9"))
    assert (chosen.transport, chosen.is_fallback) == ("sockets", True)
    with pytest.raises(TransportError, match="sfc_char"):
        select(TransportConfig(rules=(Rule(**rule, require=True),)), standings, to("10.2.0.9"))


def test_a_wildcard_bind_on_a_device_transport_needs_a_rule_or_the_channel_and_says_what_it_receives():
    for chosen in (
        select(TransportConfig(rules=(Rule(transport="efvi", endpoint="0.0.0.0:40123"),)), ALL, at("0.0.0.0")),
        select(TransportConfig(), ALL, at("0.0.0.0", transport="efvi")),
    ):
        assert chosen.transport == "efvi"
        assert "receives on eth2 only" in chosen.why


def test_the_channel_names_its_transport_alone():
    assert select(TransportConfig(), ALL, to("10.2.0.9", transport="sockets")).transport == "sockets"
    with pytest.raises(TransportError, match="is reached through eth0, and efvi has eth2"):
        select(TransportConfig(), ALL, to("10.0.0.9", transport="efvi"))
    with pytest.raises(TransportError, match="did you mean efvi"):
        select(TransportConfig(), ALL, to("10.0.0.9", transport="efiv"))


def test_require_is_first_in_the_order_and_fatal_at_start_with_its_verdict():
    config = TransportConfig(require="sockets")
    anywhere = standing_of(efvi=Verdict(True, Capabilities(loops_back=True)), sockets=SOCKETS)
    assert select(config, anywhere, to("10.0.0.9")).transport == "sockets"
    check_required(config, anywhere)
    with pytest.raises(TransportError, match="load sfc_char"):
        check_required(TransportConfig(require="efvi"), standing_of(efvi=BROKEN))
    check_required(TransportConfig(require="dpdk"), ALL)
    with pytest.raises(TransportError, match="DEDICATED"):
        check_required(TransportConfig(require="dpdk"), ALL, dedicated=True)
    with pytest.raises(TransportError, match="is not installed"):
        check_required(TransportConfig(require="vma"), standing_of())


def test_an_explicit_order_mentions_what_is_not_installed():
    config = TransportConfig(use=("vma", "sockets"), use_is_default=False)
    standings = standing_of(sockets=SOCKETS) | {"vma": stand("vma", Registry({}), config, {}, None, False)}
    chosen = select(config, standings, to("10.0.0.9"))
    assert passed(chosen) == {"vma": "vma is not installed (pip install framelane-vma)."}
    assert chosen.is_fallback
    assert effective_order(config, standings) == ("vma", "sockets")
    assert effective_order(TransportConfig(), standing_of(sockets=SOCKETS)) == ("sockets",)


def test_hardware_without_its_plugin_is_mentioned():
    standing = stand("efvi", Registry({}), TransportConfig(), {"efvi": ("0000:03:00.0 (eth2)",)}, None, False)
    assert standing.is_mentioned
    assert "0000:03:00.0 (eth2)" in standing.reason


def test_no_transport_at_all_lists_every_reason():
    config = TransportConfig(use=("efvi", "dpdk"), use_is_default=False)
    with pytest.raises(TransportError) as caught:
        select(config, ALL, at("0.0.0.0"))
    assert "efvi serves its own devices only" in str(caught.value)
    assert "dpdk serves its own devices only" in str(caught.value)


def test_a_question_without_any_route_goes_to_a_transport_above_the_kernel():
    question = Question("aeron:udp?endpoint=[fe80::9]:1", ip_address("fe80::9"), 1)
    assert select(TransportConfig(), ALL, question).transport == "sockets"


def test_a_broken_plugin_of_the_order_is_a_failure_unless_it_is_a_device_transport_without_hardware():
    claim = Claim("sockets", "m", "framelane-sockets", "1")
    broken = BrokenPlugin(claim, Obstacle("import m", "no such module", "m", "reinstall"))
    for name, hardware, wanted in (("sockets", {}, True), ("efvi", {}, False), ("efvi", {"efvi": ("x",)}, True)):
        registry = Registry({}, (replace(broken, claim=replace(claim, name=name)),))
        standing = stand(name, registry, TransportConfig(), hardware, None, False)
        assert standing.is_wanted is wanted
        assert standing.reason == "is installed but broken: no such module"


def test_a_disabled_plugin_is_no_failure():
    claim = Claim("sockets", "m", "framelane-sockets", "1")
    disabled = BrokenPlugin(claim, Obstacle("a", "b", "c", "d"), is_disabled=True)
    standing = stand("sockets", Registry({}, (disabled,)), TransportConfig(), {}, None, False)
    assert (standing.reason, standing.is_wanted) == ("is disabled by FRAMELANE_DISABLE_TRANSPORTS", False)


def test_only_what_is_named_or_has_hardware_is_probed(site):
    registry = discover(
        claims=[site.add(name, distribution=f"test-{name}") for name in ("efvi", "xdp", "acme", "sockets")]
    )
    assert registry.broken == ()

    def probed(hardware=None, **config):
        return {plugin.name for plugin in considered(registry, TransportConfig(**config), hardware or {})}

    assert probed() == {"sockets"}
    assert probed(hardware={"efvi": ("0000:03:00.0",)}) == {"efvi", "sockets"}
    assert probed(tables=frozenset({"xdp"})) == {"sockets", "xdp"}
    assert probed(require="xdp") == {"sockets", "xdp"}
    assert probed(rules=(Rule(transport="acme", endpoint="*:1"),)) == {"acme", "sockets"}
    assert probed(use=("acme", "efvi"), use_is_default=False) == {"acme", "efvi"}
