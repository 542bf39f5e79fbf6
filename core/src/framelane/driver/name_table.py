"""Names from a table: the name resolver ``csv_table`` (shm 5.6, type 2001; shm 10.3).

Each name has a host for the beginning and one for later, and a counter that another party sets to choose between them.
So a name that comes to mean another address can be tried without a name server.
"""

from __future__ import annotations

import struct

from framelane.channel import ChannelError, ErrorCode, NameResolver
from framelane.channel.addresses import IpAddress, parse_ip
from framelane.driver.counters import Counters
from framelane.driver.name_entries import NameEntry
from framelane.shm.counter_types import CounterType

__all__ = ["NameTable"]

_LENGTH = struct.Struct("<I")
_DISABLED = -1
_INITIAL = 0


class NameTable:
    """Resolves the names of a table, and leaves others to another resolver.

    :param counters: where each name gets its counter; other threads only read its value.
    """

    def __init__(self, entries: tuple[NameEntry, ...], counters: Counters, others: NameResolver) -> None:
        self._counters = counters
        self._others = others
        self._entries = {
            entry.name: (
                entry,
                counters.allocate(
                    CounterType.NAME_ENTRY, _LENGTH.pack(len(entry.name.encode())) + entry.name.encode(), entry.label
                ),
            )
            for entry in entries
        }

    def resolve(self, host: str, parameter: str) -> IpAddress:
        """See :class:`framelane.channel.NameResolver`."""
        found = self._entries.get(host)
        if found is None:
            return self._others.resolve(host, parameter)
        entry, counter_id = found
        choice = self._counters.get(counter_id)
        if choice == _DISABLED:
            raise ChannelError(
                ErrorCode.UNKNOWN_HOST,
                f"unknown host {parameter}={host}: counter {counter_id} of csv_table is {_DISABLED}: disabled; "
                f"set it to {_INITIAL} for {entry.initial_host}, or to 1 for {entry.later_host}",
            )
        target = entry.initial_host if choice == _INITIAL else entry.later_host
        return parse_ip(target) or self._others.resolve(target, parameter)
