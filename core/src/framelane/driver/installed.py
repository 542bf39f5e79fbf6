"""The installed transports as one driver uses them: probed, chosen among, opened (design 4.3)."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from itertools import count
from pathlib import Path

from framelane.channel.interface import Interface, Interfaces, NetworkInterface
from framelane.driver.clock import Clock
from framelane.driver.debug import wrap_for_debugging
from framelane.driver.log import logger
from framelane.driver.plane_config import resolve_threading_mode
from framelane.driver.settings import ResolvedSettings
from framelane.driver.transports import Choice, Wanted
from framelane.errors import TransportError
from framelane.netstack.routes import NetlinkRoutes
from framelane.transport.hardware import find_hardware
from framelane.transport.names import DEVICE_TRANSPORTS
from framelane.transport.native import OpenTransport, open_transport
from framelane.transport.probe import Unanswered, run_probes
from framelane.transport.question import Question, ask
from framelane.transport.selection import (
    Chosen,
    NoTransportError,
    PassedOver,
    check_required,
    effective_order,
    find_problem,
    select,
    source_for,
)
from framelane.transport.spec import Verdict
from framelane.transport.standing import Probe, Standing, stand, standings

__all__ = ["Installed", "InterfacesAndDevices"]

#: How long a doubtful verdict stands before it is taken again: the first time, and at most. It doubles in between.
_AGAIN_NS = 5_000_000_000
_AGAIN_AT_MOST_NS = 320_000_000_000


@dataclass
class _Doubt:
    """A verdict that is taken again when an endpoint wants the transport."""

    again_ns: int  #: not before, on the monotonic clock
    interval_ns: int = _AGAIN_NS

    def is_due(self, now_ns: int) -> bool:
        return now_ns >= self.again_ns

    def put_off(self, now_ns: int) -> None:
        """It was taken in vain."""
        self.again_ns = now_ns + self.interval_ns
        self.interval_ns = min(2 * self.interval_ns, _AGAIN_AT_MOST_NS)


class Installed:
    """A :class:`framelane.driver.transports.TransportSource` over the plugins.

    Probes take a moment, so they run on a thread; INVOKER has none and probes when the first endpoint is asked for.
    Only what decides the start is waited for: devices that are configured or present, and ``transport.require``.
    Without those the probes begin once clients are let in (:meth:`begin_probes`), so that they do not take the
    processor from the start. A driver that gives up its privileges probes and opens before that all that it may use:
    the user that it becomes may not be able to run or to read what that takes.

    A verdict stands for the driver's life, with two exceptions: the probe did not get to answer, or the device was lost
    since. Such a one is in doubt, and is taken again when an endpoint wants the transport.

    :param probe: instead of child processes.
    :ivar threading_mode: ``AUTO`` resolved.
    :ivar at_start: the transports that are opened before the driver serves clients.
    :raises TransportError: if ``transport.require`` cannot be met.
    """

    def __init__(self, settings: ResolvedSettings, clock: Clock, seed: int, *, probe: Probe = run_probes) -> None:
        self._config = settings.transport
        self._driver = settings.driver
        self._registry = settings.registry
        self._clock = clock
        self._seed = seed
        self._probe = probe
        mode = settings.driver.threading_mode
        self._is_dedicated = mode == "DEDICATED"
        self._hardware = hardware = find_hardware()
        self._lock = threading.Lock()  #: over what has been found, for endpoints of several lanes
        self._found: dict[str, Standing] | None = None
        self._doubts: dict[str, _Doubt] = {}
        self._prober = None if mode == "INVOKER" else ThreadPoolExecutor(1, thread_name_prefix="framelane-probe")
        self._probing: Future[dict[str, Standing]] | None = None
        self._openings: dict[str, count[int]] = {}
        self.at_start: list[str] = []
        wanted = (self._config.configured | set(hardware)) & set(self._registry.plugins)
        devices = sorted(name for name in wanted if name in DEVICE_TRANSPORTS)
        verdicts: dict[str, Verdict] = {}
        try:
            gives_up_privileges = settings.driver.user is not None or settings.driver.group is not None
            if devices or self._config.require is not None or gives_up_privileges:
                found = self._standings()
                check_required(self._config, found)
                verdicts = {name: one.verdict for name, one in found.items() if one.verdict is not None}
                required = [] if self._config.require is None else [self._config.require]
                wanted_now = effective_order(self._config, found) if gives_up_privileges else devices
                usable = [name for name in wanted_now if name in verdicts and verdicts[name].usable]
                self.at_start = list(dict.fromkeys([*required, *usable]))
            self._warn_of_unusable(verdicts)
        except BaseException:
            self.close()
            raise
        self.threading_mode = resolve_threading_mode(mode, verdicts.values())

    def _look(self) -> dict[str, Standing]:
        return standings(self._registry, self._config, hardware=self._hardware, probe=self._probe)

    def _warn_of_unusable(self, verdicts: Mapping[str, Verdict]) -> None:
        """Say at the start which device transports are configured and cannot be used."""
        for name in sorted(self._config.configured & DEVICE_TRANSPORTS):
            one = stand(name, self._registry, self._config, self._hardware, verdicts.get(name), name in verdicts)
            problem = find_problem(one)
            if problem is not None and one.is_wanted:
                logger.warning("transport not usable", transport=name, why=problem)

    def begin_probes(self) -> None:
        """Begin to probe on the thread, if there is one and that has not happened. Not from two threads at once."""
        if self._prober is not None and self._probing is None:
            self._probing = self._prober.submit(self._look)

    def _standings(self) -> dict[str, Standing]:
        """Wait for the probes."""
        with self._lock:
            if self._found is None:
                self.begin_probes()
                self._found = self._look() if self._probing is None else self._probing.result()
                now_ns = self._clock.nano()
                for name, one in self._found.items():
                    if isinstance(one.verdict, Unanswered):
                        self._doubt(name).put_off(now_ns)
            return dict(self._found)

    def on_lost(self, name: str) -> None:
        """See :class:`framelane.driver.transports.TransportSource`."""
        self._doubt(name)

    def _doubt(self, name: str) -> _Doubt:
        return self._doubts.setdefault(name, _Doubt(again_ns=self._clock.nano()))

    def _probe_again(self, names: Collection[str]) -> bool:
        """Take the verdicts on these transports again that are in doubt; returns whether one is new.

        One that is not usable after the loss of its device does not count: opening the device decides then, and says
        why it fails.
        """
        with self._lock:
            assert self._found is not None
            now_ns = self._clock.nano()
            due = [name for name in sorted(names) if name in self._doubts and self._doubts[name].is_due(now_ns)]
            plugins = [self._registry.plugins[name] for name in due]
            verdicts = self._probe(plugins, self._config.plugins) if plugins else {}
            is_new = False
            for name, verdict in verdicts.items():
                before = self._found[name].verdict
                if isinstance(verdict, Unanswered) or (not verdict.usable and before is not None and before.usable):
                    self._doubts[name].put_off(self._clock.nano())
                    continue
                logger.info("transport probed again", transport=name, usable=verdict.usable)
                self._found[name] = replace(self._found[name], verdict=verdict)
                del self._doubts[name]
                is_new = True
            return is_new

    def choose(self, wanted: Wanted, without: Mapping[str, str]) -> Choice:
        """See :class:`framelane.driver.transports.TransportSource`."""
        # A netlink socket belongs to the thread that opened it, and look-ups come from helper threads.
        with NetlinkRoutes() as routes:
            question = ask(routes, **vars(wanted))
        try:
            choice, looked_at = self._choose(question, without)
        except NoTransportError as error:
            if not self._probe_again({one.name for one in error.passed_over} - set(without)):
                raise
            return self._choose(question, without)[0]
        return self._choose(question, without)[0] if self._probe_again(looked_at - set(without)) else choice

    def _choose(self, question: Question, without: Mapping[str, str]) -> tuple[Choice, set[str]]:
        """Choose by what is known; returns the names of those that were looked at too."""
        standing = {
            **self._standings(),
            **{name: Standing(name, reason=why, is_wanted=True) for name, why in without.items()},
        }
        chosen = select(self._config, standing, question, dedicated=self._is_dedicated)
        self._insist(chosen, question, without)
        verdict = standing[chosen.transport].verdict
        source = None if verdict is None else source_for(verdict, question)
        return Choice(chosen, source), {chosen.transport, *(one.name for one in chosen.passed_over)}

    def own_devices(self) -> list[NetworkInterface]:
        """Return the devices that the kernel does not have as interfaces, for channels that name their addresses.

        These have addresses by configuration alone, and what is configured is probed before clients are served.
        """
        verdicts = [one.verdict for one in (self._found or {}).values() if one.verdict is not None]
        return [
            NetworkInterface(
                name=device.name,
                index=0,
                is_multicast=verdict.capabilities.multicast,
                addresses=tuple(map(ip_interface, device.addresses)),
            )
            for verdict in verdicts
            if verdict.usable
            for device in verdict.devices or ()
            if device.interface is None
        ]

    def _insist(self, chosen: Chosen, question: Question, without: Mapping[str, str]) -> None:
        """Let nothing stand in for the required transport where it is missed only because its device was lost.

        :raises NoTransportError: if ``chosen`` would.
        """
        name = self._config.require
        if name is None or name not in without or chosen.transport == name:
            return
        if select(self._config, self._standings(), question, dedicated=self._is_dedicated).transport == name:
            why = f"{name} {without[name]}."
            raise NoTransportError(
                f'{question.label}: transport.require = "{name}" allows no other in its place:\n  {why}',
                (PassedOver(name, why, is_failure=True),),
            )

    def open(self, name: str) -> OpenTransport:
        """See :class:`framelane.driver.transports.TransportSource`."""
        plugin = self._registry.plugins.get(name)
        if plugin is None:
            raise TransportError(f"transport '{name}' is not installed")
        transport = open_transport(
            plugin.spec,
            self._config.plugins.get(name),
            driver_name="framelane",
            clock=self._clock.native,
            seed=self._seed,
        )
        if name in self._doubts:  # its device is back
            self._doubts[name].again_ns = self._clock.nano()
        return wrap_for_debugging(
            transport,
            send=self._driver.debug_send_faults,
            receive=self._driver.debug_receive_faults,
            seed=self._driver.debug_faults_seed,
            capture=self._capture_of(name),
        )

    def _capture_of(self, name: str) -> Path | None:
        """Return the file for the captures of a transport; one that is opened again gets another."""
        path = self._driver.debug_capture
        if path is None:
            return None
        number = next(self._openings.setdefault(name, count(1)))
        return path if number == 1 else path.with_name(f"{path.stem}-again{number}{path.suffix}")

    def is_required(self, name: str) -> bool:
        """Whether the driver must not run without a transport."""
        return name == self._config.require

    def close(self) -> None:
        """Wait for probes, which end by their own limit."""
        if self._prober is not None:
            self._prober.shutdown(cancel_futures=True)


class InterfacesAndDevices:
    """The :class:`~framelane.channel.interface.Interfaces` of a driver: the kernel's, then devices it does not have."""

    def __init__(self, kernel: Interfaces, installed: Installed) -> None:
        self._kernel = kernel
        self._installed = installed

    def interfaces(self) -> Sequence[Interface]:
        """See :class:`~framelane.channel.interface.Interfaces`."""
        return [*self._kernel.interfaces(), *self._installed.own_devices()]
