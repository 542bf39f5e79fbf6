"""A UDP channel with its addresses resolved: what an endpoint is opened with and shared by (wire 5.4, 5.7, 5.8)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from framelane.channel.addresses import Address, HostPort, NameResolver, control_group, resolve
from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.interface import Interfaces, LocalInterface, find_interface
from framelane.channel.udp_params import ControlMode, UdpParams
from framelane.channel.uri import ChannelUri

__all__ = ["UdpChannel"]

_next_suffix = itertools.count(1).__next__


@dataclass(frozen=True)
class UdpChannel:
    """A UDP channel whose names are resolved.

    :ivar data: where publications send to and subscriptions are bound: the endpoint, else the wildcard and port 0.
    :ivar control: multicast: the control group; else the explicit ``control`` address, ``None`` if there is none.
    :ivar canonical: key under which endpoints are shared.
    """

    params: UdpParams
    data: Address
    control: Address | None
    interface: LocalInterface
    canonical: str

    @classmethod
    def resolve(
        cls,
        params: UdpParams,
        resolver: NameResolver,
        interfaces: Interfaces,
        next_suffix: Callable[[], int] = _next_suffix,
    ) -> Self:
        """Look up the names and the interface of a channel. May block.

        :param next_suffix: gives the number that keeps channels with a wildcard port apart; unique in the process.
        :raises ChannelError: UNKNOWN_HOST, INVALID_CHANNEL for a group or families that cannot be, GENERIC_ERROR for
            the interface.
        """
        endpoint = resolve(params.endpoint, "endpoint", resolver) if params.endpoint else None
        if endpoint and endpoint.is_multicast:
            return cls._multicast(params, endpoint, resolver, interfaces, next_suffix)
        control = resolve(params.control, "control", resolver) if params.control else None
        if endpoint and control and endpoint.ip.version != control.ip.version:
            raise ChannelError(
                ErrorCode.INVALID_CHANNEL,
                f"endpoint is IPv{endpoint.ip.version} and control is IPv{control.ip.version}: {params.uri}",
            )
        known = endpoint or control
        family = known.ip.version if known else 4
        wildcard = Address(IPv4Address(0) if family == 4 else IPv6Address(0), 0)
        interface = find_interface(params.interface, family, False, resolver, interfaces)
        local = params.control.text if params.control else str(interface.address)
        remote = params.endpoint.text if params.endpoint else ("0.0.0.0:0" if family == 4 else "[::]:0")
        canonical = f"UDP-{local}-{remote}{_suffix(params, next_suffix)}"
        return cls(params, endpoint or wildcard, control, interface, canonical)

    @classmethod
    def _multicast(
        cls,
        params: UdpParams,
        group: Address,
        resolver: NameResolver,
        interfaces: Interfaces,
        next_suffix: Callable[[], int],
    ) -> Self:
        if group.port == 0:
            raise ChannelError(ErrorCode.GENERIC_ERROR, f"a multicast group needs a port: {params.uri}")
        control = control_group(group)
        interface = find_interface(params.interface, group.ip.version, True, resolver, interfaces)
        canonical = f"UDP-{interface.address}-{group}{_suffix(params, next_suffix)}"
        return cls(params, group, control, interface, canonical)

    def peer_resolved_again(self, resolver: NameResolver) -> Self:
        """Look up again where a publication sends to (wire 5.9). May block. Key and interface stay.

        :returns: this object if nothing changed or there is nothing to look up, as for groups.
        :raises ChannelError: UNKNOWN_HOST; GENERIC_ERROR if the address now is one that the open socket cannot reach.
        """
        if not self.params.endpoint or self.is_multicast:
            return self
        data = _again(self.params.endpoint, "endpoint", self.data, resolver)
        return self if data == self.data else replace(self, data=data)

    def control_resolved_again(self, resolver: NameResolver) -> Self:
        """Look up again where a subscription with explicit control reports to; as :meth:`peer_resolved_again`."""
        if not self.params.control or not self.control or self.is_multicast:
            return self
        control = _again(self.params.control, "control", self.control, resolver)
        return self if control == self.control else replace(self, control=control)

    def interface_found_again(self, interfaces: Interfaces) -> Self:
        """Find the interface again by its address: one that was deleted and made again has another index. May block.

        :returns: this object if the interface is the same, is not there, or no particular one was meant.
        """
        here = self.interface
        if here.index == 0:
            return self
        holder = next(
            (one for one in interfaces.interfaces() if any(own.ip == here.address.ip for own in one.addresses)), None
        )
        if holder is None or holder.index == here.index:
            return self
        scope_id = holder.index if here.address.scope_id == here.index else here.address.scope_id
        address = replace(here.address, scope_id=scope_id)
        return replace(self, interface=replace(here, index=holder.index, address=address))

    @property
    def uri(self) -> ChannelUri:
        """The channel as the client wrote it."""
        return self.params.uri

    @property
    def tag(self) -> int | None:
        """The channel tag."""
        return self.params.tags.channel

    @property
    def is_multicast(self) -> bool:
        """The endpoint is a group; an explicit ``control`` then means nothing."""
        return self.data.is_multicast

    @property
    def has_explicit_control(self) -> bool:
        """Status messages go to, or come to, the ``control`` address."""
        return self.params.control is not None and not self.is_multicast

    @property
    def has_group_semantics(self) -> bool:
        """More than one receiver is to be expected: multicast and multi-destination."""
        return self.is_multicast or self.is_multi_destination

    @property
    def is_multi_destination(self) -> bool:
        """A publication sends to destinations that it is given or learns, and not to its endpoint (wire 3.8)."""
        return not self.is_multicast and self.params.control_mode in (ControlMode.DYNAMIC, ControlMode.MANUAL)

    @property
    def send_bind(self) -> Address:
        """Where a publication's endpoint receives: the control group, the control address, or the interface."""
        return self.interface.address if self.control is None else self.control

    @property
    def send_peer(self) -> Address | None:
        """Where a publication sends to; ``None`` without an endpoint, with destinations, and for responses."""
        is_told = self.is_multi_destination or (
            self.params.control_mode is ControlMode.RESPONSE and not self.is_multicast
        )
        return self.data if self.params.endpoint and not is_told else None

    @property
    def receive_bind(self) -> Address:
        """Where a subscription's endpoint receives: the group, the endpoint, or the wildcard and port 0."""
        return self.data

    @property
    def has_any_address(self) -> bool:
        """False if the channel gives nothing but wildcards, as one that joins by its tag."""
        return not (_is_any(self.data) and _is_any(self.send_bind))

    def check_can_make_send_endpoint(self) -> None:
        """Check that a publication which found no endpoint to join says where it sends (wire 5.8).

        :raises ChannelError: GENERIC_ERROR.
        """
        params = self.params
        if not params.endpoint and not params.control and params.control_mode is ControlMode.NONE:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"no endpoint with channel tag {self.tag}, and neither endpoint nor control to make one: {self.uri}",
            )

    def check_tag_matches(self, existing: UdpChannel) -> None:
        """Check that this channel may join the endpoint with its tag (wire 5.8).

        :param existing: the endpoint's, with its current addresses.
        :raises ChannelError: GENERIC_ERROR.
        """
        mode = self.params.control_mode
        if mode not in (ControlMode.NONE, existing.params.control_mode):
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"matching tag {self.tag} has different control-mode: existing={existing.params.control_mode} "
                f"requested={mode} existingChannel={existing.uri} channel={self.uri}",
            )
        same = self.data == existing.data and self.send_bind == existing.send_bind
        if self.has_any_address and not same:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"matching tag {self.tag} has different endpoint or control: existingChannel={existing.uri} "
                f"channel={self.uri}",
            )

    def check_socket_buffers(self, existing: UdpChannel, send_buffer: int, receive_buffer: int) -> None:
        """Check that socket buffers asked for are those of an endpoint to be joined (shm 9.3).

        :param send_buffer: the driver's default in bytes, which the endpoint has if its own channel gave none.
        :param receive_buffer: as for send.
        :raises ChannelError: GENERIC_ERROR.
        """
        asked, there = self.params, existing.params
        for key, requested, in_force in (
            ("so-sndbuf", asked.socket_send_buffer_length, there.socket_send_buffer_length or send_buffer),
            ("so-rcvbuf", asked.socket_receive_buffer_length, there.socket_receive_buffer_length or receive_buffer),
        ):
            if requested not in (0, in_force):
                raise ChannelError(
                    ErrorCode.GENERIC_ERROR,
                    f"{key}={requested} does not match existing value of {in_force}: "
                    f"existingChannel={existing.uri} channel={self.uri}",
                )

    def check_receive_timestamps(self, existing: UdpChannel) -> None:
        """Check that the subscriptions of an endpoint agree on where timestamps go (wire 6).

        :raises ChannelError: GENERIC_ERROR.
        """
        difference = self.params.timestamps.receive_difference(existing.params.timestamps)
        self._refuse(difference, "subscription", existing)

    def check_send_timestamps(self, existing: UdpChannel) -> None:
        """Check that the publications of an endpoint agree on where timestamps go (wire 6).

        :raises ChannelError: GENERIC_ERROR.
        """
        difference = self.params.timestamps.send_difference(existing.params.timestamps)
        self._refuse(difference, "publication", existing)

    def _refuse(self, difference: str | None, whose: str, existing: UdpChannel) -> None:
        if difference is not None:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"option conflicts with existing {whose}: {difference} existingChannel={existing.uri} "
                f"channel={self.uri}",
            )


def _again(name: HostPort, parameter: str, before: Address, resolver: NameResolver) -> Address:
    now = resolve(name, parameter, resolver)
    if now.ip.version != before.ip.version or now.is_multicast != before.is_multicast:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR,
            f"{parameter}={name.text} is {now} now, which the open socket does not reach: {before} stays in use",
        )
    return now


def _is_any(address: Address) -> bool:
    return address.is_wildcard and address.port == 0


def _suffix(params: UdpParams, next_suffix: Callable[[], int]) -> str:
    """Return what keeps channels apart that only the system's choice of a port makes different (wire 5.7)."""
    given: list[HostPort] = [address for address in (params.endpoint, params.control) if address]
    if given and all(address.port for address in given):
        return ""
    return f"-{next_suffix()}" if params.tags.channel is None else f"#{params.tags.channel}"
