"""Commands about the destinations of channels with ``control-mode=manual`` (wire 3.8, 4.12, shm 9.5)."""

from __future__ import annotations

from functools import partial

from framelane.channel import Address, ChannelError, ChannelUri, Interfaces, NameResolver, UdpChannel, decode_channel
from framelane.channel.addresses import HostPort, resolve
from framelane.channel.destinations import check_receive_destination, check_send_destination
from framelane.channel.udp_params import ControlMode, UdpParams
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_bytes
from framelane.driver.publications import NetworkPublication, NetworkPublications
from framelane.driver.receive_endpoints import ReceiveEndpoint, ReceiveEndpoints
from framelane.driver.resources import Steps, slowly
from framelane.driver.send_endpoints import SendEndpoint, SendEndpoints
from framelane.driver.subscriptions import Subscriptions
from framelane.protocol.commands import (
    AddDestination,
    AddReceiveDestination,
    RemoveDestination,
    RemoveDestinationById,
    RemoveReceiveDestination,
)
from framelane.protocol.error_codes import ErrorCode

__all__ = ["ReceiveDestinations", "SendDestinations"]


class SendDestinations:
    """Gives destinations to publications and takes them away. Control thread."""

    def __init__(self, publications: NetworkPublications, endpoints: SendEndpoints, resolver: NameResolver) -> None:
        self._publications = publications
        self._endpoints = endpoints
        self._resolver = resolver

    def add(self, command: AddDestination) -> Steps[None]:
        """Add a destination, by the command's correlation id.

        A name that does not resolve is kept, and looked up again until it does.

        :raises FramelaneError: nothing has changed then.
        """
        registration_id = command.registration_id
        self._endpoint_of(registration_id)
        name = check_send_destination(ChannelUri.parse(decode_channel(wire_bytes(command.channel))))
        address = yield from self._resolve(name)
        # The publication may be gone meanwhile.
        self._endpoints.add_destination(self._endpoint_of(registration_id), command.correlation_id, name, address)

    def remove(self, command: RemoveDestination) -> Steps[None]:
        """Remove the destination that a channel names, or one with its address; nothing if there is none.

        :raises FramelaneError: nothing has changed then.
        """
        registration_id = command.registration_id
        self._endpoint_of(registration_id)
        name = check_send_destination(ChannelUri.parse(decode_channel(wire_bytes(command.channel))))
        address = yield from self._resolve(name)
        endpoint = self._endpoint_of(registration_id)
        identifier = self._endpoints.find_destination(endpoint, name, address)
        if identifier is not None:
            self._endpoints.remove_destination(endpoint, identifier)

    def remove_by_id(self, command: RemoveDestinationById) -> None:
        """Remove the destination that a command added; nothing if there is none.

        :raises FramelaneError: nothing has changed then.
        """
        endpoint = self._endpoint_of(command.resource_registration_id)
        self._endpoints.remove_destination(endpoint, command.destination_registration_id)

    def _resolve(self, name: HostPort) -> Steps[Address | None]:
        try:
            return (yield from slowly(partial(resolve, name, "endpoint", self._resolver)))
        except ChannelError as error:
            if error.code != ErrorCode.UNKNOWN_HOST:
                raise
            return None

    def _endpoint_of(self, registration_id: int) -> SendEndpoint:
        publication: NetworkPublication | None = self._publications.find(registration_id)
        if publication is None:
            raise CommandError(ErrorCode.UNKNOWN_PUBLICATION, f"unknown publication registration_id={registration_id}")
        endpoint = publication.endpoint
        if not endpoint.channel.is_multi_destination or endpoint.channel.params.control_mode is not ControlMode.MANUAL:
            raise CommandError(
                ErrorCode.GENERIC_ERROR,
                f"channel does not allow manual control of destinations: publication_registration_id={registration_id}",
            )
        return endpoint


class ReceiveDestinations:
    """Gives destinations to subscriptions and takes them away. Control thread."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        endpoints: ReceiveEndpoints,
        resolver: NameResolver,
        interfaces: Interfaces,
    ) -> None:
        self._subscriptions = subscriptions
        self._endpoints = endpoints
        self._resolver = resolver
        self._interfaces = interfaces

    def add(self, command: AddReceiveDestination) -> Steps[None]:
        """Receive at one more address.

        :raises FramelaneError: nothing has changed then.
        """
        self._endpoint_of(command.registration_id)
        channel = yield from self._channel_of(command.channel)
        endpoint = self._endpoint_of(command.registration_id)  # the subscription may be gone meanwhile
        yield from self._endpoints.add_destination(endpoint, command.correlation_id, channel)

    def remove(self, command: RemoveReceiveDestination) -> Steps[None]:
        """Receive no more at the destination that a channel names; nothing if there is none.

        :raises FramelaneError: nothing has changed then.
        """
        self._endpoint_of(command.registration_id)
        channel = yield from self._channel_of(command.channel)
        self._endpoints.remove_destination(self._endpoint_of(command.registration_id), channel)

    def _channel_of(self, text: str) -> Steps[UdpChannel]:
        uri = ChannelUri.parse(decode_channel(wire_bytes(text)))
        check_receive_destination(uri)
        udp = UdpParams.parse(uri)
        udp.check_subscription()
        return (yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces)))

    def _endpoint_of(self, registration_id: int) -> ReceiveEndpoint:
        subscription = self._subscriptions.find(registration_id)
        if subscription is None or subscription.endpoint is None:
            raise CommandError(
                ErrorCode.UNKNOWN_SUBSCRIPTION, f"unknown subscription registration_id={registration_id}"
            )
        if not self._endpoints.has_destinations(subscription.endpoint):
            raise CommandError(
                ErrorCode.INVALID_CHANNEL, f"channel does not allow manual control: {subscription.channel}"
            )
        return subscription.endpoint
