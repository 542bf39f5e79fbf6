"""The installed transports as one driver uses them: probed, chosen among, opened (design 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_interface
from itertools import count
from pathlib import Path

from framelane.channel.interface import Interface, Interfaces, NetworkInterface
from framelane.driver.clock import Clock
from framelane.driver.debug import wrap_for_debugging
from framelane.driver.plane_config import resolve_threading_mode
from framelane.driver.settings import ResolvedSettings
from framelane.driver.transports import Choice, Wanted
from framelane.errors import TransportError
from framelane.netstack.routes import NetlinkRoutes
from framelane.transport.hardware import find_hardware
from framelane.transport.names import DEVICE_TRANSPORTS
from framelane.transport.native import OpenTransport, open_transport
from framelane.transport.question import Question, ask
from framelane.transport.selection import Chosen, NoTransportError, PassedOver, check_required, select, source_for
from framelane.transport.spec import Verdict
from framelane.transport.standing import Standing, standings

__all__ = ["Installed", "InterfacesAndDevices"]


class Installed:
    """A :class:`framelane.driver.transports.TransportSource` over the plugins.

    Probes take a moment, so they run on a thread; INVOKER has none and probes when the first endpoint is asked for.
    Only what decides the start is waited for: devices that are configured or present, and ``transport.require``.
    Without those the probes begin once clients are let in (:meth:`begin_probes`), so that they do not take the
    processor from the start.

    :ivar threading_mode: ``AUTO`` resolved.
    :ivar at_start: the transports that are opened before the driver serves clients.
    :raises TransportError: if ``transport.require`` cannot be met.
    """

    def __init__(self, settings: ResolvedSettings, clock: Clock, seed: int) -> None:
        self._config = settings.transport
        self._driver = settings.driver
        self._registry = settings.registry
        self._clock = clock
        self._seed = seed
        mode = settings.driver.threading_mode
        self._is_dedicated = mode == "DEDICATED"
        self._hardware = hardware = find_hardware()
        self._found: dict[str, Standing] | None = None
        self._prober = None if mode == "INVOKER" else ThreadPoolExecutor(1, thread_name_prefix="framelane-probe")
        self._probing: Future[dict[str, Standing]] | None = None
        self._openings: dict[str, count[int]] = {}
        self.at_start: list[str] = []
        wanted = (self._config.configured | set(hardware)) & set(self._registry.plugins)
        devices = sorted(name for name in wanted if name in DEVICE_TRANSPORTS)
        verdicts: dict[str, Verdict] = {}
        try:
            if devices or self._config.require is not None:
                found = self._standings()
                check_required(self._config, found)
                verdicts = {name: one.verdict for name, one in found.items() if one.verdict is not None}
                required = [] if self._config.require is None else [self._config.require]
                usable = [name for name in devices if name in verdicts and verdicts[name].usable]
                self.at_start = list(dict.fromkeys([*required, *usable]))
        except BaseException:
            self.close()
            raise
        self.threading_mode = resolve_threading_mode(mode, verdicts.values())

    def _look(self) -> dict[str, Standing]:
        return standings(self._registry, self._config, hardware=self._hardware)

    def begin_probes(self) -> None:
        """Begin to probe on the thread, if there is one and that has not happened. Not from two threads at once."""
        if self._prober is not None and self._probing is None:
            self._probing = self._prober.submit(self._look)

    def _standings(self) -> dict[str, Standing]:
        """Wait for the probes."""
        if self._found is None:
            self.begin_probes()
            self._found = self._look() if self._probing is None else self._probing.result()
        return self._found

    def choose(self, wanted: Wanted, without: Mapping[str, str]) -> Choice:
        """See :class:`framelane.driver.transports.TransportSource`."""
        standing = {
            **self._standings(),
            **{name: Standing(name, reason=why, is_wanted=True) for name, why in without.items()},
        }
        # A netlink socket belongs to the thread that opened it, and look-ups come from helper threads.
        with NetlinkRoutes() as routes:
            question = ask(routes, **vars(wanted))
        chosen = select(self._config, standing, question, dedicated=self._is_dedicated)
        self._insist(chosen, question, without)
        verdict = standing[chosen.transport].verdict
        return Choice(chosen, None if verdict is None else source_for(verdict, question))

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
