"""Commands about the destinations of channels with ``control-mode=manual`` (wire 3.8, 4.12, shm 9.5)."""

from __future__ import annotations

from functools import partial

from framelane.channel import (
    Address,
    ChannelError,
    ChannelUri,
    Interfaces,
    Media,
    NameResolver,
    UdpChannel,
    decode_channel,
)
from framelane.channel.addresses import HostPort, resolve
from framelane.channel.destinations import check_receive_destination, check_send_destination
from framelane.channel.udp_params import ControlMode, UdpParams
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_bytes
from framelane.driver.ipc_publications import IpcPublications
from framelane.driver.publications import NetworkPublication, NetworkPublications
from framelane.driver.receive_endpoints import ReceiveEndpoint, ReceiveEndpoints
from framelane.driver.resources import Steps, slowly
from framelane.driver.send_endpoints import SendEndpoint, SendEndpoints
from framelane.driver.services import Services
from framelane.driver.subscriptions import Subscription, Subscriptions
from framelane.protocol.commands import (
    AddDestination,
    AddReceiveDestination,
    DestinationCommand,
    RemoveDestination,
    RemoveDestinationById,
    RemoveReceiveDestination,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import OperationSuccess

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
    """Gives destinations to subscriptions and takes them away: sockets, IPC and spies. Control thread."""

    def __init__(
        self,
        services: Services,
        subscriptions: Subscriptions,
        endpoints: ReceiveEndpoints,
        ipc_publications: IpcPublications,
        publications: NetworkPublications,
        resolver: NameResolver,
        interfaces: Interfaces,
    ) -> None:
        self._services = services
        self._subscriptions = subscriptions
        self._endpoints = endpoints
        self._ipc_publications = ipc_publications
        self._publications = publications
        self._resolver = resolver
        self._interfaces = interfaces

    def add(self, command: AddReceiveDestination) -> Steps[None]:
        """Receive at one more address, or from publications of this driver, and answer.

        :raises FramelaneError: nothing has changed then.
        """
        self._find(command)
        uri = _uri_of(command)
        check_receive_destination(uri)
        if _is_of_this_driver(uri):
            inner = yield from self._subscriptions.make_destination(self._find(command)[0], uri)
            self._succeed(command)
            self._subscriptions.link_destination(inner, self._ipc_publications, self._publications)
            return
        channel = yield from self._resolve(uri)
        _, endpoint = self._find(command)  # the subscription may be gone meanwhile
        yield from self._endpoints.add_destination(endpoint, command.correlation_id, channel)
        self._succeed(command)

    def remove(self, command: RemoveReceiveDestination) -> Steps[None]:
        """Receive no more at the destination that a channel names, nothing if there is none, and answer.

        Of publications of this driver it is the one with exactly this channel, and an error if there is none.

        :raises FramelaneError: nothing has changed then.
        """
        subscription, _ = self._find(command)
        uri = _uri_of(command)
        if _is_of_this_driver(uri):
            inner = next((one for one in subscription.destinations if one.channel == str(uri)), None)
            if inner is None:
                raise _unknown(command)
            self._succeed(command)
            self._subscriptions.remove_destination(subscription, inner)
            return
        channel = yield from self._resolve(uri)
        self._endpoints.remove_destination(self._find(command)[1], channel)
        self._succeed(command)

    def _resolve(self, uri: ChannelUri) -> Steps[UdpChannel]:
        udp = UdpParams.parse(uri)
        udp.check_subscription()
        return (yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces)))

    def _find(self, command: DestinationCommand) -> tuple[Subscription, ReceiveEndpoint]:
        subscription = self._subscriptions.find(command.registration_id)
        if subscription is None or subscription.endpoint is None:
            raise _unknown(command)
        if not self._endpoints.has_destinations(subscription.endpoint):
            raise CommandError(
                ErrorCode.INVALID_CHANNEL, f"channel does not allow manual control: {subscription.channel}"
            )
        return subscription, subscription.endpoint

    def _succeed(self, command: DestinationCommand) -> None:
        self._services.events.send(OperationSuccess(command.correlation_id))


def _uri_of(command: DestinationCommand) -> ChannelUri:
    return ChannelUri.parse(decode_channel(wire_bytes(command.channel)))


def _is_of_this_driver(uri: ChannelUri) -> bool:
    return uri.is_spy or uri.media is Media.IPC


def _unknown(command: DestinationCommand) -> CommandError:
    return CommandError(
        ErrorCode.UNKNOWN_SUBSCRIPTION,
        f"unknown subscription client_id={command.client_id} registration_id={command.registration_id}",
    )
