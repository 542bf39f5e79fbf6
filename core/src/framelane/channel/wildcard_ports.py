"""Ports for endpoints that leave theirs to the driver (wire 5.6)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from framelane.channel.addresses import Address
from framelane.channel.errors import ChannelError, ErrorCode
from framelane.errors import ConfigError

__all__ = ["WildcardPorts"]


class WildcardPorts:
    """Hands out ports of a configured range, round robin; one for each side of the driver. Control thread only.

    The sender asks only for endpoints with an explicit ``control``, the receiver for all.

    :param low: first port; both 0: the operating system chooses.
    :param high: last port.
    :raises ConfigError: if that is no range of ports.
    """

    def __init__(self, low: int = 0, high: int = 0) -> None:
        if not 0 <= low <= high <= 65535 or (low == 0 and high != 0):
            raise ConfigError(f'wildcard port range "{low} {high}" is none: two ports, low first, or "0 0"')
        self._low = low
        self._high = high
        self._next = low
        self._in_use: Counter[int] = Counter()

    def take(self, bind: Address) -> Address:
        """Return the address to bind to, and record its port until :meth:`give_back`.

        :param bind: with port 0 if the driver shall choose. A port that is given is recorded, so that it is not handed
            out, and never refused: it may be in use on another address, or shared by a group.
        :raises ChannelError: GENERIC_ERROR if all ports of the range are in use.
        """
        chosen = bind if bind.port or not self._high else replace(bind, port=self._free_port(bind))
        if chosen.port:
            self._in_use[chosen.port] += 1
        return chosen

    def give_back(self, taken: Address) -> None:
        """Forget the port of an address that :meth:`take` returned."""
        if taken.port:
            self._in_use[taken.port] -= 1
            if not self._in_use[taken.port]:
                del self._in_use[taken.port]

    def _free_port(self, bind: Address) -> int:
        for _ in range(self._low, self._high + 1):
            port = self._next
            self._next = self._low if port == self._high else port + 1
            if port not in self._in_use:
                return port
        raise ChannelError(
            ErrorCode.GENERIC_ERROR,
            f"no port left for {bind}: all of the wildcard port range {self._low} to {self._high} are in use",
        )
