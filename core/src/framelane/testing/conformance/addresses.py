"""Binding: port 0, errors, wildcards, connected peers, both families, multicast."""

from __future__ import annotations

import pytest

from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing.conformance.pair import (
    RECEIVER,
    SENDER,
    BaseConformance,
    Family,
    Link,
    TransportPair,
    connect,
    payloads,
)
from framelane.testing.station import Endpoint, Run, Station
from framelane.transport.address import Address

__all__ = ["BaseAddresses"]


class BaseAddresses(BaseConformance):
    """Addresses of endpoints."""

    def test_port_0_is_resolved_when_open_returns(self, near: Station, family: Family) -> None:
        endpoints = [near.open(bind=Address.of(family.near), on_poller=False) for _ in range(8)]
        ports = [endpoint.local.port for endpoint in endpoints]
        assert 0 not in ports
        assert len(set(ports)) == len(ports)
        assert {str(endpoint.local.ip) for endpoint in endpoints} == {family.near}

    def test_an_address_in_use_is_refused_and_free_again_after_close(self, near: Station, family: Family) -> None:
        first = near.open(bind=Address.of(family.near))
        taken = first.local
        with pytest.raises(NativeError, match=str(taken.port)) as raised:
            near.open(bind=taken)
        assert raised.value.code == lib.FL_EADDRINUSE
        first.close()
        assert near.open(bind=taken).local == taken

    def test_an_address_of_nobody_is_not_available(self, near: Station, family: Family) -> None:
        with pytest.raises(NativeError) as raised:
            near.open(bind=Address.of(family.absent))
        assert raised.value.code == lib.FL_EADDRNOTAVAIL

    def test_an_mtu_above_the_longest_datagram_is_refused(self, near: Station, family: Family) -> None:
        with pytest.raises(NativeError) as raised:
            near.open(bind=Address.of(family.near), mtu_length=near.capabilities.max_datagram + 1)
        assert raised.value.code == lib.FL_EMSGSIZE

    def test_a_connected_endpoint_hears_only_its_peer(self, transport_pair: TransportPair, family: Family) -> None:
        link = connect(transport_pair, family)
        stranger = transport_pair.far.open(role=SENDER, bind=Address.of(family.far))
        stranger.send_all([Run(b"stranger", peer=link.near.local)])
        link.far.send_all([Run(b"peer", peer=link.near.local)])
        assert payloads(link.near.receive(1)) == [b"peer"]
        link.near.station.settle()
        assert not link.near.inbox

    def test_set_peer_changes_where_runs_go(self, transport_pair: TransportPair, family: Family, link: Link) -> None:
        other = transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far))
        link.send(Run(b"old"))
        assert link.receive(1) == [b"old"]
        assert link.near.set_peer(other.local) == 0
        link.send(Run(b"new"))
        assert payloads(other.receive(1)) == [b"new"]
        assert link.far.receive(1, limit_s=0.02) == []

    def test_a_wildcard_endpoint_receives_on_the_transports_address(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        wildcard = Address.of("::" if ":" in family.near else "0.0.0.0")
        try:
            endpoint = near.open(bind=wildcard)
        except NativeError as error:
            assert error.code in (lib.FL_ENOTSUP, lib.FL_EADDRNOTAVAIL)
            return
        port = endpoint.local.port
        far = transport_pair.far.open(role=SENDER, bind=Address.of(family.far))
        far.send_all([Run(b"wildcard", peer=Address.of(family.near, port))])
        (datagram,) = endpoint.receive(1)
        assert datagram.data == b"wildcard"
        assert datagram.local in (None, Address.of(family.near, port))
        if datagram.local is not None:
            endpoint.send_all([Run(b"reply", peer=datagram.source, local=datagram.local)])
            (reply,) = far.receive(1)
            assert (reply.data, reply.source) == (b"reply", datagram.local)

    def test_ipv6_works_if_declared_and_is_refused_if_not(self, transport_pair: TransportPair) -> None:
        near = transport_pair.near
        if not near.capabilities.ipv6:
            with pytest.raises(NativeError) as raised:
                near.open(bind=Address.of("::1"))
            assert raised.value.code in (lib.FL_EAFNOSUPPORT, lib.FL_ENOTSUP, lib.FL_EADDRNOTAVAIL)
            return
        assert transport_pair.ipv6 is not None, "ipv6 is declared, so the pair must name IPv6 addresses"
        link = connect(transport_pair, transport_pair.ipv6)
        run = Run(bytes(range(256)) * 20, 1000)
        link.send(run)
        assert link.receive(len(run.datagrams())) == run.datagrams()
        link.far.send_all([Run(b"back", peer=link.near.local)])
        assert payloads(link.near.receive(1)) == [b"back"]

    def test_families_do_not_mix(self, near: Station, family: Family) -> None:
        other = Address.of("127.0.0.1" if ":" in family.near else "::1", 40000)
        with pytest.raises(NativeError) as raised:
            near.open(role=SENDER, bind=Address.of(family.near), peer=other)
        assert raised.value.code in (lib.FL_EAFNOSUPPORT, lib.FL_EINVAL, lib.FL_ENOTSUP)

    def test_multicast_works_if_declared_and_is_refused_if_not(self, transport_pair: TransportPair) -> None:
        near = transport_pair.near
        if not near.capabilities.multicast:
            family = transport_pair.families[0]
            group = Address.of("ff15::4242" if ":" in family.near else "239.20.90.3", 40456)
            with pytest.raises(NativeError) as raised:
                near.open(bind=group, interface=Address.of(family.near), flags=lib.FL_ENDPOINT_REUSE_ADDRESS)
            assert raised.value.code in (lib.FL_ENOTSUP, lib.FL_EADDRNOTAVAIL)
            return
        groups = [family for family in transport_pair.families if family.group is not None]
        assert groups, "multicast is declared, so the pair must name a group"
        for family in groups:
            self._exchange_by_multicast(transport_pair, family)

    def test_two_receivers_of_a_group_on_one_host_both_hear_it(self, transport_pair: TransportPair) -> None:
        for family in transport_pair.families:
            if family.group is None or not transport_pair.near.capabilities.multicast:
                continue
            group = Address.of(family.group, 40458)
            receivers = [self._join(transport_pair, family, group) for _ in range(2)]
            far = transport_pair.far.open(
                role=SENDER, bind=group.with_port(40459), peer=group, interface=Address.of(family.far), ttl=1
            )
            far.send_all([Run(b"both" * 10, 4)])
            for receiver in receivers:
                assert payloads(receiver.receive(10)) == [b"both"] * 10

    def _join(self, pair: TransportPair, family: Family, group: Address) -> Endpoint:
        return pair.near.open(bind=group, interface=Address.of(family.near), flags=lib.FL_ENDPOINT_REUSE_ADDRESS)

    def _exchange_by_multicast(self, pair: TransportPair, family: Family) -> None:
        """A publication's data group and control group, as Aeron uses two neighbouring groups."""
        assert family.group is not None
        data = Address.of(family.group, 40456)
        control = Address(data.ip + 1, 40456)
        receiver = self._join(pair, family, data)
        sender = pair.far.open(
            role=SENDER,
            bind=control,
            peer=data,
            interface=Address.of(family.far),
            flags=lib.FL_ENDPOINT_REUSE_ADDRESS,
            ttl=1,
        )
        run = Run(bytes(range(200)) * 30, 1000)
        sender.send_all([run])
        arrived = receiver.receive(6)
        assert payloads(arrived) == run.datagrams()
        assert {str(datagram.source.ip) for datagram in arrived} == {family.far}
        receiver.send_all([Run(b"status message", peer=control)])
        assert payloads(sender.receive(1)) == [b"status message"]
        receiver.close()
        sender.send_all([Run(b"nobody listens")])
        pair.near.settle()
