"""What open transports tell of themselves, shown in counters: figures, and the network behind a port."""

from __future__ import annotations

from dataclasses import dataclass, replace

from framelane.driver.counters import STATIC_OWNER
from framelane.driver.log import logger
from framelane.driver.services import Services
from framelane.netstack.routes import IpInterface
from framelane.netstack.tables import Neighbour, NetstackView
from framelane.shm.counter_types import CounterType, NetstackLabel
from framelane.shm.figure_types import figure_type
from framelane.transport.native import OpenTransport

__all__ = ["TransportFigures"]

#: Figures of a netstack whose growth loses datagrams for a reason that their sender can mend, and how.
_HINTS = {
    "rx-checksum-failure-udp": "datagrams came with a wrong UDP checksum and were dropped. Linux leaves it to "
    "the device, and a veth pair or a bridge sends it unfinished: at the sender's end, ethtool -K INTERFACE tx off",
    "rx-fragments": "fragments of IP packets came and were dropped, as nothing here puts them together: lower the mtu "
    "of the sender's channel to the path's, less 28 bytes (IPv6: 48)",
}


@dataclass(frozen=True)
class _Seen:
    counter_id: int
    label: str
    view: NetstackView


class TransportFigures:
    """Copies what transports tell into counters, and what changes in their networks into the log. Control thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._counter_ids: dict[tuple[str, int, bytes, str], int] = {}
        self._seen: dict[str, _Seen] = {}
        self._hinted: set[str] = set()

    def show(self, name: str, transport: OpenTransport) -> None:
        """Bring the counters of one transport up to date. One that is opened again goes on with those it had."""
        for label, value in transport.stats().items():
            self._set(name, figure_type(label), name.encode(), label, value)
            if value > 0 and label not in self._hinted:
                self._hint(name, label)
        for counter in transport.host.private_counters():
            self._set(name, counter.type_id, counter.key, counter.label, counter.value)
        view = transport.netstack_view()
        if view is not None:
            self._show_network(name, view)

    def on_lost(self, name: str) -> None:
        """Free the counter of the network of a port whose device is gone; its figures stay, for they are totals."""
        seen = self._seen.pop(name, None)
        if seen is not None:
            self._services.counters.free(seen.counter_id)

    def _hint(self, name: str, label: str) -> None:
        """Say once what a figure that has begun to grow asks for, if it asks for anything."""
        self._hinted.add(label)
        hint = _HINTS.get(label.removeprefix(f"{name}-"))
        if hint is not None:
            self._services.errors.note(f"transport {name}: {label} grows: {hint}")

    def _set(self, name: str, type_id: int, key: bytes, label: str, value: int) -> None:
        counters, identity = self._services.counters, (name, type_id, key, label)
        counter_id = self._counter_ids.get(identity)
        if counter_id is None:
            counter_id = counters.allocate(type_id, key, label, owner_id=STATIC_OWNER)
            self._counter_ids[identity] = counter_id
        counters.set(counter_id, value)

    def _show_network(self, name: str, view: NetstackView) -> None:
        counters, seen = self._services.counters, self._seen.get(name)
        label = NetstackLabel(name, view.mode, view.interface or "", view.mtu, tuple(map(str, view.addresses))).encode()
        if seen is None:
            counter_id = counters.allocate(CounterType.TRANSPORT_NETSTACK, name.encode(), label, owner_id=STATIC_OWNER)
            seen = _Seen(counter_id, label, replace(view, neighbours=()))
            logger.info("netstack", transport=name, network=label)
        elif seen.label != label:
            counters.update_label(seen.counter_id, label)
        self._tell_addresses(name, seen.view.addresses, view.addresses)
        self._tell_neighbours(name, seen.view.neighbours, view.neighbours)
        counters.set(seen.counter_id, sum(neighbour.state.has_mac for neighbour in view.neighbours))
        self._seen[name] = _Seen(seen.counter_id, label, view)

    def _tell_addresses(self, name: str, before: tuple[IpInterface, ...], now: tuple[IpInterface, ...]) -> None:
        for lost in (own for own in before if own.ip not in {one.ip for one in now}):
            self._services.errors.note(
                f"transport {name}: address {lost} is gone; what is bound to it receives nothing until it is back"
            )
        for new in (own for own in now if own.ip not in {one.ip for one in before}):
            logger.info("address added", transport=name, address=str(new))

    def _tell_neighbours(self, name: str, before: tuple[Neighbour, ...], now: tuple[Neighbour, ...]) -> None:
        """Log the neighbours that the driver sends to: when their address is found, another, or not to be had."""
        known = {neighbour.address: neighbour for neighbour in before}
        for neighbour in now:
            old = known.get(neighbour.address)
            if neighbour.used_ns == 0 or (old is not None and old.used_ns != 0 and _told(old) == _told(neighbour)):
                continue
            if neighbour.state.has_mac:
                logger.info("neighbour", transport=name, address=str(neighbour.address), mac=neighbour.mac_text)
            elif neighbour.state is neighbour.state.FAILED:
                logger.warning("neighbour does not answer", transport=name, address=str(neighbour.address))


def _told(neighbour: Neighbour) -> tuple[bytes | None, bool]:
    return neighbour.mac, neighbour.state is neighbour.state.FAILED
