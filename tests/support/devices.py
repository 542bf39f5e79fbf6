"""Transports that lose their devices, and get them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from framelane.driver.transports import Choice, Wanted
from framelane.errors import TransportError
from framelane.transport.native import OpenTransport
from framelane.transport.selection import Chosen, NoTransportError, PassedOver
from framelane.transport.wrappers import FaultInjector, wrap_faults

__all__ = ["Devices"]


class Devices:
    """A :class:`framelane.driver.transports.TransportSource` of several transports, in the order of preference.

    :param openers: open the device behind each; called again after a loss.
    :ivar injectors: the last opening of each.
    :ivar openings: the names in the order in which they were opened, tries that failed included.
    """

    def __init__(self, openers: Mapping[str, Callable[[], OpenTransport]]) -> None:
        self._openers = openers
        self._away: dict[str, Exception] = {}
        self.injectors: dict[str, FaultInjector] = {}
        self.openings: list[str] = []

    def choose(self, wanted: Wanted, without: Mapping[str, str]) -> Choice:
        order = self._openers if wanted.transport is None else (wanted.transport,)
        passed_over = []
        for name in order:
            if name not in without:
                return Choice(Chosen(wanted.label, name, "It is the first that can.", tuple(passed_over)))
            passed_over.append(PassedOver(name, f"{name} {without[name]}.", is_failure=True))
        reasons = "\n".join(one.why for one in passed_over)
        raise NoTransportError(f"no transport can serve {wanted.label}:\n{reasons}", tuple(passed_over))

    def open(self, name: str) -> OpenTransport:
        self.openings.append(name)
        if name in self._away:
            raise self._away[name]
        injector = self.injectors[name] = wrap_faults(self._openers[name](), seed=1)
        return injector.transport

    def on_lost(self, name: str) -> None:
        pass

    def lose(self, name: str, text: str | None = "eth9 was unplugged", *, error: Exception | None = None) -> None:
        """Let a transport's device be gone, until :meth:`bring_back`.

        :param text: of its event; ``None``: no event, only answers.
        :param error: what opening it ends with meanwhile.
        """
        self._away[name] = error or TransportError("there is no eth9")
        self.injectors[name].remove_device(text)

    def bring_back(self, name: str) -> None:
        del self._away[name]
