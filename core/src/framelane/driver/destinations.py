"""Commands about the destinations of publications with ``control-mode=manual`` (wire 3.8, shm 9.5)."""

from __future__ import annotations

from functools import partial

from framelane.channel import Address, ChannelError, ChannelUri, NameResolver, decode_channel
from framelane.channel.addresses import HostPort, resolve
from framelane.channel.destinations import check_send_destination
from framelane.channel.udp_params import ControlMode
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_bytes
from framelane.driver.publications import NetworkPublication, NetworkPublications
from framelane.driver.resources import Steps, slowly
from framelane.driver.send_endpoints import SendEndpoint, SendEndpoints
from framelane.protocol.commands import AddDestination, RemoveDestination, RemoveDestinationById
from framelane.protocol.error_codes import ErrorCode

__all__ = ["SendDestinations"]


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
