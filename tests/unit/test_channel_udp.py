"""UDP channels: addresses, interfaces, and which endpoint a channel shares."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import pytest

from framelane.channel import (
    Address,
    ChannelError,
    ChannelUri,
    EndpointTable,
    ErrorCode,
    NetlinkInterfaces,
    NetworkInterface,
    SystemNameResolver,
    UdpChannel,
    UdpParams,
)
from framelane.channel.addresses import parse_host_port, resolve


def interface(name: str, index: int, *addresses: str, **flags: bool) -> NetworkInterface:
    return NetworkInterface(name, index, addresses=tuple(map(ip_interface, addresses)), **flags)


LO = interface("lo", 1, "127.0.0.1/8", "::1/128", is_loopback=True, is_multicast=False)
WIDE = interface("eth0", 2, "10.1.2.3/16", "fd00::3/64", "fe80::3/64")
NARROW = interface("eth1", 3, "10.1.9.4/24", "fd00:0:0:1::4/80")
TUNNEL = interface("tun0", 4, "10.2.0.1/32", is_multicast=False)
DOWN = interface("eth2", 5, "10.1.9.5/30", is_up=False)


class Host:
    """Names and interfaces of an imagined host."""

    def __init__(self, *interfaces: NetworkInterface, **names: str) -> None:
        self._interfaces = interfaces
        self._names = {"localhost": "127.0.0.1"} | names

    def resolve(self, host: str, parameter: str) -> IPv4Address | IPv6Address:
        if host not in self._names:
            raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")
        return ip_address(self._names[host])

    def interfaces(self) -> Sequence[NetworkInterface]:
        return self._interfaces


ALL = (TUNNEL, LO, WIDE, DOWN, NARROW)


def channel(query: str, *interfaces: NetworkInterface, start: int = 1, **names: str) -> UdpChannel:
    host = Host(*(interfaces or ALL), **names)
    params = UdpParams.parse(ChannelUri.parse(f"aeron:udp?{query}"))
    return UdpChannel.resolve(params, host, host, itertools.count(start).__next__)


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("endpoint=localhost:40123", "UDP-0.0.0.0:0-localhost:40123"),
        ("endpoint=127.0.0.1:40123", "UDP-0.0.0.0:0-127.0.0.1:40123"),
        ("endpoint=[::1]:40123", "UDP-[::]:0-[::1]:40123"),
        ("endpoint=localhost:40123|interface=127.0.0.1:7", "UDP-127.0.0.1:7-localhost:40123"),
        ("endpoint=localhost:40123|interface=0.0.0.0:7", "UDP-0.0.0.0:7-localhost:40123"),
        ("endpoint=localhost:40123|control=localhost:40124", "UDP-localhost:40124-localhost:40123"),
        ("control=localhost:40124", "UDP-localhost:40124-0.0.0.0:0"),
        ("control=[::1]:40124", "UDP-[::1]:40124-[::]:0"),
        ("endpoint=localhost:0", "UDP-0.0.0.0:0-localhost:0-1"),
        ("endpoint=localhost:0|tags=77", "UDP-0.0.0.0:0-localhost:0#77"),
        ("endpoint=localhost:40123|tags=77", "UDP-0.0.0.0:0-localhost:40123"),
        ("endpoint=localhost:40123|control=localhost:0", "UDP-localhost:0-localhost:40123-1"),
        ("tags=-3", "UDP-0.0.0.0:0-0.0.0.0:0#-3"),
        ("endpoint=224.20.30.39:40456", "UDP-10.1.9.4:0-224.20.30.39:40456"),
        ("endpoint=group:40456|interface=localhost", "UDP-127.0.0.1:0-224.20.30.39:40456"),
        ("endpoint=[ff0e::1]:40456|interface=[fd00::]:9/64", "UDP-[fd00::3]:9-[ff0e::1]:40456"),
    ],
)
def test_canonical_form(query: str, canonical: str) -> None:
    assert channel(query, group="224.20.30.39").canonical == canonical


def test_unicast_sends_from_the_interface_and_receives_at_the_endpoint() -> None:
    unicast = channel("endpoint=localhost:40123|interface=10.1.0.0/16|ttl=300|so-sndbuf=64k")
    data = Address(IPv4Address("127.0.0.1"), 40123)
    assert (unicast.send_bind, unicast.send_peer) == (Address(IPv4Address("10.1.9.4"), 0), data)
    assert (unicast.receive_bind, unicast.control, unicast.has_explicit_control) == (data, None, False)
    assert (unicast.params.ttl, unicast.params.socket_send_buffer_length) == (255, 65536)


def test_explicit_control_is_where_a_publication_binds_and_a_subscription_reports() -> None:
    both = channel("endpoint=localhost:40123|control=10.1.2.3:40124")
    control = Address(IPv4Address("10.1.2.3"), 40124)
    assert (both.send_bind, both.control, both.has_explicit_control) == (control, control, True)
    alone = channel("control=10.1.2.3:40124")
    assert (alone.receive_bind, alone.send_peer) == (Address(IPv4Address(0), 0), None)


@pytest.mark.parametrize(
    ("group", "control"),
    [("224.20.30.39", "224.20.30.40"), ("239.1.1.255", "239.1.1.0"), ("[ff0e::1]", "[ff0e::2]")],
)
def test_multicast_control_goes_to_the_next_group(group: str, control: str) -> None:
    multicast = channel(f"endpoint={group}:40456|control=localhost:1")
    assert str(multicast.send_bind) == f"{control}:40456"
    assert (multicast.is_multicast, multicast.has_group_semantics, multicast.has_explicit_control) == (
        True,
        True,
        False,
    )


def test_even_group_is_refused() -> None:
    with pytest.raises(ChannelError, match="must be odd") as raised:
        channel("endpoint=224.20.30.40:40456")
    assert raised.value.code == ErrorCode.INVALID_CHANNEL


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.1.2.3", "eth0 10.1.2.3:0"),
        ("10.1.0.0:5/16", "eth1 10.1.9.4:5"),
        ("0.0.0.0/0", "eth1 10.1.9.4:0"),
        ("127.0.0.0/8", "lo 127.0.0.1:0"),
        ("[fe80::]/10", "eth0 [fe80::3]:0"),
        ("[::]/0", "eth1 [fd00:0:0:1::4]:0"),
        ("{eth0}:7", "eth0 10.1.2.3:7"),
        ("server", "eth0 10.1.2.3:0"),
    ],
)
def test_interface_search_prefers_the_longest_netmask_off_loopback(text: str, found: str) -> None:
    group = "[ff0e::1]" if text.startswith("[") else "224.1.1.1"
    chosen = channel(f"endpoint={group}:9|interface={text}", server="10.1.2.3").interface
    assert f"{chosen.name} {chosen.address}" == found
    assert chosen.address.scope_id == (chosen.index if chosen.address.ip.is_link_local else 0)


@pytest.mark.parametrize("text", ["10.2.0.1", "10.1.9.5", "{eth9}", "[fd00::3]", "192.0.2.0/24", "{tun6}"])
def test_interfaces_that_are_down_cannot_serve_or_do_not_match_are_refused(text: str) -> None:
    with pytest.raises(ChannelError, match="interface=") as raised:
        channel(f"endpoint=224.1.1.1:9|interface={text}")
    assert raised.value.code == ErrorCode.GENERIC_ERROR


def test_loopback_serves_multicast_where_nothing_else_can() -> None:
    assert channel("endpoint=224.1.1.1:9", TUNNEL, LO).interface.name == "lo"


def test_named_interface_gives_its_address_of_the_endpoints_family() -> None:
    assert channel("endpoint=[fd00::9]:9|interface={eth1}").interface.address.ip == IPv6Address("fd00:0:0:1::4")


def test_a_publications_peer_is_followed_to_its_new_address_under_the_old_key() -> None:
    before = channel("endpoint=far:9|control=near:8", far="10.9.0.1", near="10.1.2.3")
    moved = before.peer_resolved_again(Host(far="10.9.0.2", near="10.7.7.7"))
    assert (str(moved.send_peer), str(moved.send_bind)) == ("10.9.0.2:9", "10.1.2.3:8")
    assert (moved.canonical, moved.interface) == (before.canonical, before.interface)
    assert before.peer_resolved_again(Host(far="10.9.0.1")) is before


def test_a_subscriptions_control_is_followed_and_its_bind_address_is_not() -> None:
    before = channel("endpoint=near:9|control=far:8", far="10.9.0.1", near="10.1.2.3")
    moved = before.control_resolved_again(Host(far="10.9.0.2", near="10.7.7.7"))
    assert (str(moved.receive_bind), str(moved.control)) == ("10.1.2.3:9", "10.9.0.2:8")
    assert before.control_resolved_again(Host(far="10.9.0.1")) is before


@pytest.mark.parametrize(("now", "shown"), [("fd00::9", r"\[fd00::9\]"), ("224.1.1.1", "224.1.1.1")])
def test_a_name_that_becomes_ipv6_or_a_group_is_not_followed(now: str, shown: str) -> None:
    before = channel("endpoint=far:9", far="10.9.0.1")
    with pytest.raises(ChannelError, match=f"endpoint=far:9 is {shown}:9 now"):
        before.peer_resolved_again(Host(far=now))


def test_groups_are_not_looked_up_again() -> None:
    before = channel("endpoint=group:9|control=near:1", group="224.1.1.1", near="10.1.2.3")
    assert before.peer_resolved_again(Host()) is before
    assert before.control_resolved_again(Host()) is before


@dataclass
class Endpoint:
    channel: UdpChannel


def table(*channels: UdpChannel) -> EndpointTable[Endpoint]:
    endpoints: EndpointTable[Endpoint] = EndpointTable()
    for each in channels:
        endpoints.add(Endpoint(each))
    return endpoints


def test_equal_texts_share_an_endpoint_and_equal_addresses_do_not() -> None:
    endpoints = table(channel("endpoint=localhost:40123"))
    assert endpoints.find(channel("endpoint=localhost:40123|mtu=64")) is not None
    assert endpoints.find(channel("endpoint=127.0.0.1:40123")) is None


def test_channels_with_a_wildcard_port_share_only_by_tag() -> None:
    endpoints = table(channel("endpoint=localhost:0"), channel("endpoint=localhost:0|tags=5", start=2))
    assert endpoints.find(channel("endpoint=localhost:0", start=3)) is None
    tagged = endpoints.find(channel("endpoint=localhost:0|tags=5", start=4))
    assert tagged is not None
    assert tagged.channel.tag == 5


def test_a_tag_alone_joins_and_different_addresses_are_refused() -> None:
    endpoints = table(channel("endpoint=localhost:40123|tags=5"))
    existing = next(iter(endpoints))
    assert endpoints.find(channel("tags=5")) is existing
    assert endpoints.find(channel("tags=5,9|endpoint=127.0.0.1:40123")) is existing
    for query in ("tags=5|endpoint=localhost:40125", "tags=5|endpoint=localhost:40123|control-mode=manual"):
        with pytest.raises(ChannelError, match="matching tag 5 has different") as raised:
            endpoints.find(channel(query))
        assert raised.value.code == ErrorCode.GENERIC_ERROR


def test_a_tag_does_not_join_an_endpoint_with_another() -> None:
    endpoints = table(channel("endpoint=localhost:40123|tags=5"))
    assert endpoints.find(channel("endpoint=localhost:40123|tags=6")) is None
    assert endpoints.find(channel("endpoint=localhost:40123")) is next(iter(endpoints))


def test_a_tagged_channel_joins_an_endpoint_without_a_tag() -> None:
    tagged, plain = channel("endpoint=localhost:40123|tags=5"), channel("endpoint=localhost:40123")
    endpoints = table(tagged, plain)
    joined = endpoints.find(channel("endpoint=localhost:40123|tags=6"))
    assert joined is not None
    assert joined.channel is plain


def test_removed_endpoints_are_not_found() -> None:
    endpoints = table(channel("endpoint=localhost:40123|tags=5"))
    endpoints.remove(next(iter(endpoints)))
    assert endpoints.find(channel("endpoint=localhost:40123")) is None
    assert endpoints.find(channel("tags=5")) is None
    assert len(endpoints) == 0


def test_a_publication_with_an_unknown_tag_needs_an_address() -> None:
    channel("tags=5|endpoint=localhost:1").check_can_make_send_endpoint()
    with pytest.raises(ChannelError, match="tag 5"):
        channel("tags=5").check_can_make_send_endpoint()


def test_socket_buffers_asked_for_must_be_those_in_force() -> None:
    existing = channel("endpoint=localhost:1|so-sndbuf=64k")
    channel("endpoint=localhost:1|so-sndbuf=65536|so-rcvbuf=128k").check_socket_buffers(existing, 0, 131072)
    channel("endpoint=localhost:1").check_socket_buffers(existing, 1, 1)
    with pytest.raises(ChannelError) as raised:
        channel("endpoint=localhost:1|so-rcvbuf=1m").check_socket_buffers(existing, 0, 131072)
    assert str(raised.value).startswith(
        "so-rcvbuf=1048576 does not match existing value of 131072: existingChannel=aeron:udp?endpoint=localhost:1|"
    )


def test_zone_counts_for_link_local_addresses_only() -> None:
    host = Host()
    assert resolve(parse_host_port("[fe80::1%lo]:9", "endpoint"), "endpoint", host).scope_id == 1
    assert resolve(parse_host_port("[fd00::1%lo]:9", "endpoint"), "endpoint", host).scope_id == 0
    assert resolve(parse_host_port("[fe80::1%12]:9", "endpoint"), "endpoint", host).scope_id == 12


def test_system_resolver_prefers_ipv4_and_reports_unknown_names() -> None:
    resolver = SystemNameResolver()
    assert resolver.resolve("localhost", "endpoint") == IPv4Address("127.0.0.1")
    with pytest.raises(ChannelError, match=r"unknown host control=a\.\.b: .+; give an address, or a name") as raised:
        resolver.resolve("a..b", "control")
    assert raised.value.code == ErrorCode.UNKNOWN_HOST


def test_netlink_shows_the_loopback_interface() -> None:
    loopback = next(found for found in NetlinkInterfaces().interfaces() if found.name == "lo")
    assert (loopback.index, loopback.is_loopback, loopback.is_up) == (1, True, True)
    assert ip_interface("127.0.0.1/8") in loopback.addresses
