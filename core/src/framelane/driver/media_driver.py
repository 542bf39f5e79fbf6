"""The media driver: start, life and end.

with MediaDriver.launch(term_buffer_length="1m") as driver:
    print(driver.directory, driver.threading_mode)
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from framelane.channel import Interfaces, NameResolver, NetlinkInterfaces, SessionIds, SystemNameResolver
from framelane.driver.clients import Clients
from framelane.driver.clock import Clock
from framelane.driver.conductor import Conductor, Nouns
from framelane.driver.counters import Counters
from framelane.driver.destinations import ReceiveDestinations, SendDestinations
from framelane.driver.errors import ErrorRecorder
from framelane.driver.events import Events
from framelane.driver.images import Images
from framelane.driver.installed import Installed, InterfacesAndDevices
from framelane.driver.ipc_publications import IpcPublications
from framelane.driver.links import Links
from framelane.driver.log import logger
from framelane.driver.lost_endpoints import LostEndpoints
from framelane.driver.model import DriverSettings, kind_of
from framelane.driver.name_entries import parse_name_table
from framelane.driver.name_table import NameTable
from framelane.driver.names import TimedResolver, make_gossip
from framelane.driver.native import DataPlane
from framelane.driver.plane_config import plane_config, resolve_threading_mode
from framelane.driver.privileges import check_access, check_identity, drop_privileges, identity_name
from framelane.driver.publications import NetworkPublications
from framelane.driver.receive_endpoints import ReceiveEndpoints
from framelane.driver.resources import HelperThreads, Inline, SlowWork
from framelane.driver.send_endpoints import SendEndpoints
from framelane.driver.services import Services
from framelane.driver.settings import ResolvedSettings, load_settings
from framelane.driver.shared_files import SharedFiles
from framelane.driver.socket_buffers import SocketBuffers, check_granted_buffers
from framelane.driver.storage import Storage
from framelane.driver.subscriptions import Subscriptions
from framelane.driver.termination import Termination, validator_named
from framelane.driver.transports import Transports, TransportSource
from framelane.driver.untethered import UntetheredLinks
from framelane.errors import FramelaneError

__all__ = ["MediaDriver", "Surroundings"]

_LANES = 6  # commands, images, re-resolution of either side, lost endpoints, neighbours' names
_LONGEST_WAIT_NS = 1_000_000_000


@dataclass(frozen=True)
class Surroundings:
    """What a driver takes from its surroundings; simulations and tests pass their own.

    :ivar transports: ``None``: the installed plugins, as the configuration wants them.
    :ivar seed: of session ids, initial term ids and everything random in the data plane; ``None``: drawn.
    """

    clock: Clock | None = None
    transports: TransportSource | None = None
    resolver: NameResolver | None = None
    interfaces: Interfaces | None = None
    seed: int | None = None


class MediaDriver:
    """A running media driver.

    The control thread is made by :meth:`launch`. In threading mode INVOKER there is none: whoever calls :meth:`do_work`
    is the control thread, and no other thread exists.

    :ivar threading_mode: as resolved from ``AUTO``.
    """

    def __init__(
        self,
        settings: ResolvedSettings,
        surroundings: Surroundings,
        on_termination: Callable[[], None] | None,
    ) -> None:
        self._pid = os.getpid()
        self._resolved = settings
        self.settings = settings.driver
        self._on_termination = on_termination
        self._serves = False
        self._is_closing = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self.terminated = threading.Event()  #: a client was allowed to end the driver
        for warning in settings.warnings:
            logger.warning("configuration", text=warning)
        self._identity = check_identity(self.settings.user, self.settings.group)
        if surroundings.transports is None and "sockets" in settings.transport.order:
            check_granted_buffers(self.settings, lambda text: logger.warning("configuration", text=text))
        clock = surroundings.clock or Clock()
        seed = int.from_bytes(os.urandom(8)) if surroundings.seed is None else surroundings.seed
        with ExitStack() as undo:
            source = surroundings.transports
            self._installed: Installed | None = None
            self.threading_mode = resolve_threading_mode(self.settings.threading_mode, ())
            if source is None:
                source = self._installed = Installed(settings, clock, seed)
                undo.callback(self._installed.close)
                self.threading_mode = self._installed.threading_mode
            is_invoker = self.threading_mode == "INVOKER"
            self._slow_work: SlowWork = Inline() if is_invoker else HelperThreads(_LANES, self._wake)
            undo.callback(self._slow_work.close)
            self._files = SharedFiles.create(self.settings, clock, self.threading_mode)
            undo.callback(self._files.close, delete=True)
            files = self._files
            self.plane = DataPlane(
                plane_config(self.settings, self.threading_mode, clock, files.cnc.native, files.drop_counters, seed),
                keep=(files, clock),
            )
            undo.callback(self.plane.free)
            self._assemble(surroundings, clock, seed, source)
            if self._identity is not None:
                self._files.hand_over(*self._identity)
            undo.pop_all()

    @classmethod
    def launch(
        cls,
        settings: ResolvedSettings | None = None,
        *,
        surroundings: Surroundings | None = None,
        on_termination: Callable[[], None] | None = None,
        **overrides: object,
    ) -> Self:
        """Start a driver and return when it serves clients.

        :param settings: ``None``: from the configuration file and the environment.
        :param on_termination: called on the control thread when a client was allowed to end the driver, which is then
            the caller's to do.
        :param overrides: keys of ``[driver]``, such as ``dir`` or ``mtu_length``; only without ``settings``.
        :raises ConfigError: if the configuration is wrong.
        :raises FramelaneError: if the driver cannot start; nothing is left behind then.
        """
        if settings is None:
            settings = load_settings(overrides=[f"driver.{key}={_text(value)}" for key, value in overrides.items()])
        elif overrides:
            raise TypeError("launch takes settings or overrides, not both")
        driver = cls(settings, surroundings or Surroundings(), on_termination)
        driver._start()
        atexit.register(driver.close)
        return driver

    def _assemble(self, surroundings: Surroundings, clock: Clock, seed: int, source: TransportSource) -> None:
        settings, files = self.settings, self._files
        counters = files.counters
        errors = ErrorRecorder(files.error_log, counters, clock)
        storage = Storage(files.directory, settings, counters, errors, SocketBuffers.of_system())
        random = Random(seed)
        self.services = services = Services(
            settings=settings,
            clock=clock,
            plane=self.plane,
            counters=counters,
            events=Events(files.broadcast),
            errors=errors,
            storage=storage,
            slow_work=self._slow_work,
            random=random,
            next_correlation_id=files.ring.next_correlation_id,
        )
        inner = _with_table(surroundings.resolver or SystemNameResolver(), settings, counters)
        gossip = make_gossip(services, inner)
        resolver = TimedResolver(gossip or inner, clock, settings.driver_name_resolver_threshold)
        interfaces = surroundings.interfaces or NetlinkInterfaces()
        if self._installed is not None:
            interfaces = InterfacesAndDevices(interfaces, self._installed)
        links = Links(services)
        transports = Transports(services, source)
        send_endpoints = SendEndpoints(services, transports, resolver, interfaces)
        receive_endpoints = ReceiveEndpoints(services, transports, resolver, interfaces)
        lost_endpoints = LostEndpoints(services, (send_endpoints, receive_endpoints))
        transports.on_removed.append(lost_endpoints.on_transport_removed)
        subscriptions = Subscriptions(services, links, receive_endpoints, resolver, interfaces)
        clients = Clients(services, subscriptions.remove_of)
        sessions = SessionIds(
            random.getrandbits(32) - 2**31,
            settings.publication_reserved_session_id_low,
            settings.publication_reserved_session_id_high,
        )
        publications = NetworkPublications(services, clients, links, send_endpoints, sessions, resolver, interfaces)
        ipc_publications = IpcPublications(services, clients, links, sessions)
        self.nouns = Nouns(
            clients=clients,
            links=links,
            subscriptions=subscriptions,
            untethered_links=UntetheredLinks(services, links, subscriptions),
            ipc_publications=ipc_publications,
            publications=publications,
            images=Images(services, links, receive_endpoints, subscriptions, files.loss_report),
            destinations=SendDestinations(publications, send_endpoints, resolver),
            receive_destinations=ReceiveDestinations(
                services, subscriptions, receive_endpoints, ipc_publications, publications, resolver, interfaces
            ),
            send_endpoints=send_endpoints,
            receive_endpoints=receive_endpoints,
            transports=transports,
            lost_endpoints=lost_endpoints,
            sessions=sessions,
            resolver=resolver,
            gossip=gossip,
            termination=Termination(validator_named(settings.driver_termination_validator), self._terminate),
        )
        self._conductor = Conductor(services, self.nouns)

    # ---- life ----

    def _start(self) -> None:
        if self.threading_mode == "INVOKER":
            try:
                self._begin()
            except BaseException:
                self._end()
                raise
            return
        self._thread = threading.Thread(target=self._run, name="framelane-control", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def _run(self) -> None:
        """The control thread."""
        try:
            try:
                self._begin()
            except BaseException as error:
                self._failure = error
                return
            finally:
                self._started.set()
            while not self._is_closing:
                self._cycle(_LONGEST_WAIT_NS)
        finally:
            self._end()

    def _begin(self) -> None:
        """Start the agents, open what must be open at start, and let clients in."""
        self.plane.start()
        if self._installed is not None:
            self.nouns.transports.open_now(self._installed.at_start, self._installed.is_required)
        if self._identity is not None:
            if drop_privileges(*self._identity, self.settings.user):
                self.nouns.transports.reduced_to = identity_name()
            check_access(self.directory)
        if self.settings.print_configuration:
            print("\n".join(configuration_lines(self._resolved)), flush=True)
        self._files.ready()
        self._serves = True
        if self._installed is not None:
            self._installed.begin_probes()
        self._call_hooks("framelane_driver_started")
        logger.info("driver started", directory=str(self.directory), threading_mode=self.threading_mode)

    def _cycle(self, timeout_ns: int) -> int:
        try:
            return self._conductor.cycle(timeout_ns)
        except Exception as error:
            self.services.errors.record_exception(error, "control thread")
            return 1

    def _end(self) -> None:
        """Take everything down. The data plane's agents run until every object is removed."""
        self._call_hooks("framelane_driver_stopping")
        self._slow_work.close()
        try:
            self._conductor.close()
        except Exception as error:
            logger.error("driver not closed cleanly", exc_info=error)
            self._failure = self._failure or error
            self.plane.stop()  # whatever is left: no agent may run once the files are unmapped
        else:
            self.plane.stop()
            self.plane.free()
        try:
            self._files.close(delete=self.settings.dir_delete_on_shutdown or not self._serves)
        except OSError as error:  # such as a folder that the user who is left may not change
            if self._failure is None:
                logger.warning("driver directory not removed", directory=str(self.directory), error=str(error))
                self._failure = error
        if self._installed is not None:
            self._installed.close()
        logger.info("driver closed", directory=str(self.directory))

    def _call_hooks(self, name: str) -> None:
        for failure in self._resolved.registry.call_each(lambda hooks: getattr(hooks, name)(driver=self)):
            self.services.errors.record_exception(failure.error, f"{name} of transport {failure.plugin.name}")

    def _wake(self) -> None:
        self.plane.wake()

    def _terminate(self) -> None:
        self.terminated.set()
        if self._on_termination is not None:
            self._on_termination()

    # ---- for the application ----

    @property
    def directory(self) -> Path:
        """The driver directory, for clients."""
        return self._files.directory

    @property
    def transports(self) -> list[str]:
        """The transports that are open now."""
        return self.nouns.transports.names

    def do_work(self) -> int:
        """INVOKER: one duty cycle of all agents and of the control plane; returns the work done.

        In a forked child nothing happens and it is 0.
        """
        if self.threading_mode != "INVOKER":
            raise FramelaneError(f"do_work is for threading mode INVOKER, this driver runs in {self.threading_mode}")
        if os.getpid() != self._pid:
            return 0
        return self.plane.invoke() + self._cycle(0)

    def close(self) -> None:
        """Stop the driver and wait until it has ended. Does nothing the second time, or in a forked child.

        On the control thread, such as in ``on_termination``, it does not wait.

        :raises FramelaneError: if it did not end cleanly.
        """
        if self._is_closing or os.getpid() != self._pid:
            return
        self._is_closing = True
        atexit.unregister(self.close)
        if self._thread is None:
            self._end()
        elif self._thread is not threading.current_thread():
            self.plane.wake()
            self._thread.join()
        if self._failure is not None:
            raise FramelaneError(f"the driver did not end cleanly: {self._failure}") from self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _with_table(resolver: NameResolver, settings: DriverSettings, counters: Counters) -> NameResolver:
    """Return the name resolver that the settings ask for, over the host's."""
    if settings.name_resolver_supplier != "csv_table":
        return resolver
    text = settings.name_resolver_init_args or settings.name_resolver_csv_lookup_table_args or ""
    return NameTable(parse_name_table(text), counters, resolver)


def configuration_lines(settings: ResolvedSettings) -> list[str]:
    """Return the settings in force, each with where it came from."""
    return [
        f"{key} = {kind_of(key).show(getattr(settings.driver, key))} ({settings.source(f'driver.{key}')})"
        for key in DriverSettings.model_fields
    ]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
