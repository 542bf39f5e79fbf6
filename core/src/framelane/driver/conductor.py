"""The control thread's loop: commands in order, the data plane's events, and the timer pass (shm 8, 9)."""

from __future__ import annotations

from dataclasses import dataclass

from framelane._native import lib
from framelane.channel import ChannelUri, Media, SessionIds, decode_channel
from framelane.driver.clients import Clients
from framelane.driver.counters import STATIC_OWNER
from framelane.driver.destinations import ReceiveDestinations, SendDestinations
from framelane.driver.errors import CommandError, error_code
from framelane.driver.events import wire_bytes, wire_text
from framelane.driver.images import Images
from framelane.driver.ipc_publications import IpcPublications
from framelane.driver.links import Links
from framelane.driver.lost_endpoints import LostEndpoints
from framelane.driver.name_gossip import SERVICE_INTERVAL_NS, NameGossip
from framelane.driver.names import TimedResolver
from framelane.driver.plane_params import PlaneEvent
from framelane.driver.publications import NetworkPublications
from framelane.driver.receive_endpoints import ReceiveEndpoints
from framelane.driver.resources import Lane, Steps
from framelane.driver.send_endpoints import SendEndpoints
from framelane.driver.services import Services
from framelane.driver.subscriptions import Subscriptions
from framelane.driver.termination import Termination
from framelane.driver.transports import Transports
from framelane.driver.untethered import UntetheredLinks
from framelane.errors import NativeError
from framelane.protocol import commands
from framelane.protocol.commands import Command, decode_command
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    CounterReady,
    ErrorResponse,
    NextAvailableSessionId,
    OperationSuccess,
    StaticCounterReady,
    UnavailableCounter,
)
from framelane.shm.counter_types import CounterType
from framelane.shm.system_counters import SystemCounter

__all__ = ["Conductor", "Nouns"]

_EVENTS_A_CYCLE = 256
_COMMANDS_A_CYCLE = 64
_MAX_ERROR_TEXT_LENGTH = 4095


@dataclass(frozen=True)
class Nouns:
    """What the conductor conducts."""

    clients: Clients
    links: Links
    subscriptions: Subscriptions
    untethered_links: UntetheredLinks
    ipc_publications: IpcPublications
    publications: NetworkPublications
    images: Images
    destinations: SendDestinations
    receive_destinations: ReceiveDestinations
    send_endpoints: SendEndpoints
    receive_endpoints: ReceiveEndpoints
    transports: Transports
    lost_endpoints: LostEndpoints
    sessions: SessionIds
    resolver: TimedResolver
    gossip: NameGossip | None
    termination: Termination


class Conductor:
    """Runs on the control thread, which makes every call here."""

    def __init__(self, services: Services, nouns: Nouns) -> None:
        self._services = services
        self._nouns = nouns
        self._commands = Lane(services.slow_work)
        self._malformed = services.counters.allocate(
            CounterType.MALFORMED_COMMANDS, b"", "malformed-commands", owner_id=STATIC_OWNER
        )

    def cycle(self, timeout_ns: int) -> int:
        """Wait for work, and do it; returns how much there was."""
        wanted = lib.FL_WAIT_EVENT | (lib.FL_WAIT_COMMAND if self._commands.is_idle else 0)
        longest_ns = min(timeout_ns, self._nouns.lost_endpoints.longest_wait_ns)
        gossip = self._nouns.gossip
        self._services.plane.wait(wanted, longest_ns if gossip is None else min(longest_ns, SERVICE_INTERVAL_NS))
        work = 0 if gossip is None else gossip.service()
        while work < _EVENTS_A_CYCLE and (event := self._services.plane.next_event()) is not None:
            self._guarded(event)
            work += 1
        work += self._nouns.images.advance()
        work += self._nouns.send_endpoints.advance() + self._nouns.receive_endpoints.advance()
        work += self._nouns.lost_endpoints.advance()
        work += self._commands.advance()
        return work + self._take_commands()

    def _take_commands(self) -> int:
        """Begin commands, each after the one before is done; the others wait in the data plane's queue."""
        taken = 0
        while taken < _COMMANDS_A_CYCLE and self._commands.is_idle:
            try:
                command = self._services.plane.next_command()
            except NativeError as error:
                self._record_malformed(ErrorCode.MALFORMED_COMMAND, f"command skipped: {error}")
                taken += 1
                continue
            if command is None:
                break
            self._commands.start(self._answered(*command))
            taken += 1
        return taken

    # ---- commands ----

    def _answered(self, type_id: int, body: bytes) -> Steps[None]:
        """Carry out one command; whatever goes wrong becomes an error answer (shm 8.1, 8.5)."""
        correlation_id: int | None = None
        try:
            command = decode_command(type_id, body)
            correlation_id = command.correlation_id
            yield from self._carry_out(command)
        except commands.CommandError as error:
            self._record_malformed(error.code, str(error))
            # No answer is promised for these, and one is harmless (shm 8.1).
            self._send_error(error.correlation_id, error.code, str(error))
        except Exception as error:
            code = error_code(error)
            if code is ErrorCode.RESOURCE_TEMPORARILY_UNAVAILABLE:
                self._send_error(correlation_id, code, str(error))
            else:
                self._services.errors.log_unexpected(error, f"command {type_id}")
                self._answer_error(correlation_id, code, str(error) or type(error).__name__)

    def _record_malformed(self, code: ErrorCode, text: str) -> None:
        counters = self._services.counters
        counters.set(self._malformed, counters.get(self._malformed) + 1)
        self._services.errors.record(code, text)

    def _answer_error(self, correlation_id: int | None, code: ErrorCode, text: str) -> None:
        self._services.errors.record(code, text)
        self._send_error(correlation_id, code, text)

    def _send_error(self, correlation_id: int | None, code: ErrorCode, text: str) -> None:
        if correlation_id is not None:
            message = wire_text(text)[:_MAX_ERROR_TEXT_LENGTH]
            self._services.events.send(ErrorResponse(correlation_id, code, message))

    def _carry_out(self, command: Command) -> Steps[None]:
        nouns = self._nouns
        match command:
            case commands.PublicationCommand():
                yield from self._add_publication(command)
            case commands.RemovePublication():
                nouns.clients.remove_publication(command.client_id, command.registration_id, revoke=command.revoke)
                self._succeed(command)
            case commands.AddSubscription():
                yield from self._add_subscription(command)
            case commands.RemoveSubscription():
                nouns.subscriptions.remove(command.client_id, command.registration_id)
                self._succeed(command)
            case commands.AddCounter():
                self._add_counter(command)
            case commands.RemoveCounter():
                self._remove_counter(command)
            case commands.AddStaticCounter():
                self._add_static_counter(command)
            case commands.ClientClose():
                nouns.clients.close(command.client_id)
            case commands.ClientKeepalive():
                nouns.clients.keep_alive(command.client_id)
            case commands.TerminateDriver():
                nouns.termination.request(command.client_id, command.token)
            case commands.RejectImage():
                self._reject_image(command)
            case commands.AddDestination():
                yield from nouns.destinations.add(command)
                self._succeed(command)
            case commands.RemoveDestination():
                yield from nouns.destinations.remove(command)
                self._succeed(command)
            case commands.RemoveDestinationById():
                nouns.destinations.remove_by_id(command)
                self._succeed(command)
            case commands.AddReceiveDestination():
                yield from nouns.receive_destinations.add(command)
            case commands.RemoveReceiveDestination():
                yield from nouns.receive_destinations.remove(command)
            case commands.GetNextAvailableSessionId():
                live = nouns.ipc_publications.sessions(command.stream_id) | nouns.publications.sessions(
                    command.stream_id
                )
                answer = NextAvailableSessionId(command.correlation_id, nouns.sessions.choose(live))
                self._services.events.send(answer)
            case _:
                raise CommandError(
                    ErrorCode.NOT_SUPPORTED, f"{type(command).TYPE.name} is not supported by this release"
                )

    def _succeed(self, command: Command) -> None:
        self._services.events.send(OperationSuccess(command.correlation_id))

    def _check_new(self, command: commands.PublicationCommand | commands.AddSubscription) -> None:
        """Refuse a registration id that is in use: files, counters and uses of publications go by it."""
        nouns, registration_id = self._nouns, command.correlation_id
        client = nouns.clients.find(command.client_id)
        joined = () if client is None else client.publications
        for known in (nouns.publications, nouns.ipc_publications, nouns.subscriptions, joined):
            if registration_id in known:
                raise CommandError(ErrorCode.GENERIC_ERROR, f"registration id {registration_id} is in use")

    def _add_publication(self, command: commands.PublicationCommand) -> Steps[None]:
        nouns = self._nouns
        self._check_new(command)
        uri = ChannelUri.parse(decode_channel(wire_bytes(command.channel)))
        if uri.media is Media.IPC:
            yield from nouns.ipc_publications.add(command, uri, nouns.publications.find_tagged, nouns.subscriptions)
        else:
            yield from nouns.publications.add(command, uri, nouns.images.find, nouns.subscriptions)

    def _add_subscription(self, command: commands.AddSubscription) -> Steps[None]:
        nouns = self._nouns
        self._check_new(command)
        uri = ChannelUri.parse(decode_channel(wire_bytes(command.channel)))
        if uri.media is Media.IPC and not uri.is_spy:
            nouns.subscriptions.add_ipc(command, uri, nouns.clients, nouns.ipc_publications)
        elif uri.is_spy:
            yield from nouns.subscriptions.add_spy(command, uri, nouns.clients, nouns.publications)
        else:
            yield from nouns.subscriptions.add_network(command, uri, nouns.clients, nouns.images)

    def _add_counter(self, command: commands.AddCounter) -> None:
        client = self._nouns.clients.get_or_add(command.client_id)
        registration_id = command.correlation_id
        if registration_id in client.counters:
            raise CommandError(ErrorCode.GENERIC_ERROR, f"registration id {registration_id} is in use")
        counter_id = self._services.counters.allocate(
            command.type_id,
            command.key,
            command.label,
            registration_id=registration_id,
            owner_id=command.client_id,
        )
        client.counters[registration_id] = counter_id
        self._services.events.send(CounterReady(registration_id, counter_id))

    def _remove_counter(self, command: commands.RemoveCounter) -> None:
        counter_id = self._nouns.clients.remove_counter(command.client_id, command.registration_id)
        self._succeed(command)
        self._services.events.send(UnavailableCounter(command.registration_id, counter_id))
        self._services.counters.free(counter_id)

    def _add_static_counter(self, command: commands.AddStaticCounter) -> None:
        self._nouns.clients.get_or_add(command.client_id)
        counter_id = self._services.counters.add_static(
            command.type_id, command.registration_id, command.key, command.label
        )
        self._services.events.send(StaticCounterReady(command.correlation_id, counter_id))

    def _reject_image(self, command: commands.RejectImage) -> None:
        nouns, image_id = self._nouns, command.image_correlation_id
        is_found = nouns.images.reject(image_id, wire_bytes(command.reason)) or nouns.ipc_publications.reject(
            image_id, command.reason
        )
        if not is_found:
            raise CommandError(ErrorCode.GENERIC_ERROR, f"Unable to resolve image for correlationId={image_id}")
        self._services.counters.count(SystemCounter.IMAGES_REJECTED)
        self._succeed(command)

    # ---- events of the data plane ----

    def _guarded(self, event: PlaneEvent) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            self._services.errors.record_exception(error, f"event of object {event.id}, kind {event.kind}")

    def _on_event(self, event: PlaneEvent) -> None:
        nouns = self._nouns
        if event.kind == lib.FL_OBJECT_PUBLICATION:
            self._follow_response(event)
            nouns.publications.on_event(event)
        elif event.kind == lib.FL_OBJECT_RESPONSE_SETUP:
            request = nouns.publications.find(event.id)
            if request is not None and request.params.wants_response:
                nouns.subscriptions.respond(request.params.response_correlation_id, event.session_id, nouns.images)
        elif event.kind == lib.FL_OBJECT_IPC_PUBLICATION:
            nouns.ipc_publications.on_event(event, nouns.subscriptions)
        elif event.kind == lib.FL_OBJECT_IMAGE:
            nouns.images.on_event(event)
        elif event.kind == lib.FL_OBJECT_SETUP:
            nouns.images.on_setup(event)
        elif event.kind == lib.FL_OBJECT_PUBLICATION_ERROR:
            nouns.publications.on_error(event)
        elif event.kind == lib.FL_OBJECT_TRANSPORTS:
            nouns.transports.on_gone()
        elif event.kind == lib.FL_OBJECT_CONDUCTOR:
            if event.mask & lib.FL_EVENT_CONDUCTOR_MALFORMED:
                self._record_malformed(
                    ErrorCode.MALFORMED_COMMAND, "records of the to-driver ring were not readable and were skipped"
                )
            if event.mask & lib.FL_EVENT_CONDUCTOR_TIMER:
                self._on_timer()

    def _follow_response(self, event: PlaneEvent) -> None:
        """A response publication has its receiver, or is over: who sent the request need not be told of it any more."""
        response = self._nouns.publications.find(event.id)
        over = lib.FL_EVENT_PUBLICATION_CONNECTED | lib.FL_EVENT_PUBLICATION_LINGER | lib.FL_EVENT_PUBLICATION_DONE
        if response is not None and response.params.is_response and event.mask & over:
            self._nouns.images.stop_responding(response.params.response_correlation_id, response.session_id)

    def _on_timer(self) -> None:
        """Do what is due on a timer pass, in the order of shm 9.11; the agents do theirs on their own."""
        nouns = self._nouns
        for part in (
            nouns.clients.on_timer,
            nouns.untethered_links.on_timer,
            nouns.send_endpoints.on_timer,
            nouns.receive_endpoints.on_timer,
            self._services.storage.on_timer,
            nouns.transports.on_timer,
            lambda: nouns.resolver.on_timer(self._services.counters),
        ):
            try:
                part()
            except Exception as error:
                self._services.errors.record_exception(error, "timer pass")

    def close(self) -> None:
        """Free everything, after the agents have stopped and slow work has ended."""
        nouns = self._nouns
        self._commands.close()
        if nouns.gossip is not None:
            nouns.gossip.close()
        nouns.images.close()
        nouns.subscriptions.close()
        nouns.ipc_publications.close()
        nouns.publications.close()
        nouns.lost_endpoints.close()
        nouns.send_endpoints.close()
        nouns.receive_endpoints.close()
        nouns.transports.close()
