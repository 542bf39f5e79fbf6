"""The configuration of a network interface in Linux: read over rtnetlink, kept in a file, set again.

:class:`LinuxInterface` holds what it takes to give an interface back as it was; :meth:`LinuxInterface.summary` is the
part of it that a driver on the device needs. Control plane only; the functions act on this network namespace.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Final

from framelane.errors import FramelaneError
from framelane_dpdk.pci import BindingError, is_driver_name, is_interface_name
from framelane_dpdk.saved_state import (
    SavedInterface,
    SavedRoute,
    SavedStateError,
    is_pci_address,
    state_directory,
    write_document,
)

__all__ = [
    "LinuxAddress",
    "LinuxInterface",
    "LinuxRoute",
    "capture",
    "configure",
    "describe",
    "forget",
    "former_names",
    "load",
    "save",
]

_FORMAT = 1
_AF_INET: Final = 2
_AF_INET6: Final = 10
_MAIN_TABLE: Final = 254
_LOCAL_TABLE: Final = 255
_UNICAST: Final = 1  # RTN_UNICAST
_PROTOCOL_KERNEL: Final = 2
_PROTOCOL_RA: Final = 9
_ONLINK: Final = 4  # RTNH_F_ONLINK
_SCOPE_LINK: Final = 253
_FOREVER: Final = 0xFFFFFFFF
_IFF_UP: Final = 1
_TEMPORARY: Final = 0x01  # IFA_F_TEMPORARY, of an IPv6 address; IFA_F_SECONDARY of an IPv4 address
_TENTATIVE: Final = 0x40
#: The flags that a program may set: nodad, optimistic, home, managed temporary, no prefix route, multicast autojoin.
_SETTABLE: Final = 0x02 | 0x04 | 0x10 | 0x100 | 0x200 | 0x400
#: Longest that IPv6 addresses are waited for until the link is there and their duplicate address detection is over.
_TENTATIVE_LIMIT_S: Final = 30.0


@dataclass(frozen=True)
class LinuxAddress:
    """One address of an interface."""

    address: str  #: with prefix length
    peer: str | None = None  #: the far end of a point-to-point link
    broadcast: str | None = None
    label: str | None = None
    scope: int = 0
    flags: int = 0  #: IFA_F_*, those that can be set
    valid_s: int | None = None  #: when it was read; ``None``: for ever
    preferred_s: int | None = None


@dataclass(frozen=True)
class LinuxRoute:
    """One route through an interface."""

    to: str  #: network; ``0.0.0.0/0`` and ``::/0`` are the default routes
    gateway: str | None = None
    source: str | None = None
    metric: int | None = None
    table: int = _MAIN_TABLE
    protocol: int = 3
    scope: int = 0
    flags: int = 0
    metrics: tuple[tuple[str, int], ...] = ()  #: such as ``("mtu", 1400)``

    @property
    def is_default(self) -> bool:
        return self.to in ("0.0.0.0/0", "::/0")

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.to


@dataclass(frozen=True)
class LinuxInterface:
    """An interface of a PCI device as Linux had it."""

    pci_address: str
    driver: str
    name: str
    mac: str
    mtu: int
    is_up: bool
    addresses: tuple[LinuxAddress, ...] = ()
    routes: tuple[LinuxRoute, ...] = ()  #: those that Linux makes by itself among them
    lost: tuple[str, ...] = ()  #: what is there and cannot be set again
    saved_at: float = 0.0  #: seconds since the epoch
    boot_id: str = ""  #: of the kernel that was running

    def __post_init__(self) -> None:
        if not is_pci_address(self.pci_address) or not is_driver_name(self.driver) or not is_interface_name(self.name):
            raise ValueError(f"{self.pci_address!r}, {self.driver!r} or {self.name!r} is no such name")

    @property
    def is_configured(self) -> bool:
        """Whether it has an address that somebody gave it."""
        return any(not ip_interface(one.address).is_link_local for one in self.addresses)

    def summary(self) -> SavedInterface:
        """Return what the transport takes its addresses, gateways and routes from."""
        main = [one for one in self.routes if one.table == _MAIN_TABLE]
        gateways: dict[bool, str] = {}
        for route in sorted(main, key=lambda one: one.metric or 0):
            if route.is_default and route.gateway is not None:
                gateways.setdefault(route.is_ipv6, route.gateway)
        return SavedInterface(
            pci_address=self.pci_address,
            interface=self.name,
            addresses=tuple(one.address for one in self.addresses if not ip_interface(one.address).is_link_local),
            gateway=tuple(gateways.values()),
            routes=tuple(
                SavedRoute(one.to, one.gateway, one.source, one.metric)
                for one in main
                if not one.is_default and one.protocol != _PROTOCOL_KERNEL
            ),
            mtu=self.mtu,
            driver=self.driver,
            is_up=self.is_up,
            mac=self.mac,
        )


def capture(name: str, *, pci_address: str, driver: str, boot_id: str) -> LinuxInterface:
    """Read an interface.

    :raises BindingError: if there is none of this name, or the kernel does not answer.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as netlink:
            indexes = netlink.link_lookup(ifname=name)
            if not indexes:
                raise BindingError(f"interface {name}: it is gone from this network namespace")
            (link,) = netlink.get_links(indexes[0])
            addresses = [
                _read_address(message, name)
                for message in netlink.get_addr(index=indexes[0])
                if not (message["family"] == _AF_INET6 and (message.get_attr("IFA_FLAGS") or 0) & _TEMPORARY)
            ]
            routes: list[LinuxRoute] = []
            lost: list[str] = []
            for message in (one for family in (_AF_INET, _AF_INET6) for one in netlink.get_routes(family=family)):
                if indexes[0] in _out_interfaces(message) and message["type"] == _UNICAST:
                    problem = _unsupported(message)
                    if problem:
                        lost.append(problem)
                    elif message.get_attr("RTA_TABLE") != _LOCAL_TABLE:
                        routes.append(_read_route(message))
    except NetlinkError as error:
        raise BindingError(f"interface {name}: the kernel does not tell its configuration: {error}") from error
    return LinuxInterface(
        pci_address=pci_address,
        driver=driver,
        name=name,
        mac=link.get_attr("IFLA_ADDRESS") or "",
        mtu=link.get_attr("IFLA_MTU"),
        is_up=bool(link["flags"] & _IFF_UP),
        addresses=tuple(addresses),
        routes=tuple(routes),
        lost=tuple(lost),
        saved_at=time.time(),
        boot_id=boot_id,
    )


def configure(
    saved: LinuxInterface, current_name: str, *, report: Callable[[str], None], now: Callable[[], float] = time.time
) -> list[str]:
    """Set an interface as it was kept. What is already so stays, so it may be called again.

    :param current_name: the name that the interface has now.
    :param report: called with each change that was made.
    :param now: seconds since the epoch; addresses that ran out meanwhile are left out.
    :returns: what could not be set, and why.
    """
    from pyroute2 import IPRoute

    problems: list[str] = []
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname=current_name)[0]

        def attempt(text: str, action: Callable[[], object]) -> None:
            problem = _attempt(action)
            if problem is None:
                report(text)
            else:
                problems.append(f"{text}: {problem}")

        if current_name != saved.name:
            attempt(f"set link {current_name} down", partial(netlink.link, "set", index=index, state="down"))
            rename = partial(netlink.link, "set", index=index, ifname=saved.name)
            attempt(f"set link {current_name} name {saved.name}", rename)
        (link,) = netlink.get_links(index)
        if saved.mac and link.get_attr("IFLA_ADDRESS") != saved.mac:
            readdress = partial(netlink.link, "set", index=index, address=saved.mac)
            attempt(f"set link {saved.name} address {saved.mac}", readdress)
        attempt(f"set link {saved.name} mtu {saved.mtu}", partial(netlink.link, "set", index=index, mtu=saved.mtu))
        state = "up" if saved.is_up else "down"
        attempt(f"set link {saved.name} {state}", partial(netlink.link, "set", index=index, state=state))
        for address in _still_valid(saved, now()):
            attempt(
                f"add address {address.address} to {saved.name}",
                partial(netlink.addr, "add", index=index, **_address_arguments(address)),
            )
        routes = _in_order(saved)
        if any(route.is_ipv6 and route.source for route in routes):
            _await_addresses(netlink, index)
        for route in routes:
            attempt(
                f"add route {_route_text(route)} through {saved.name}",
                partial(netlink.route, "add", oif=index, **_route_arguments(route)),
            )
    return problems


def describe(saved: LinuxInterface) -> Iterator[str]:
    """Yield the changes of :func:`configure`, for an interface that has its name."""
    yield f"set link {saved.name} mtu {saved.mtu}"
    yield f"set link {saved.name} {'up' if saved.is_up else 'down'}"
    for address in saved.addresses:
        yield f"add address {address.address} to {saved.name}"
    for route in _in_order(saved):
        yield f"add route {_route_text(route)} through {saved.name}"


def load(pci_address: str) -> LinuxInterface | None:
    """Return what was kept of a device; ``None`` if nothing was.

    :raises SavedStateError: if the file cannot be read or is damaged.
    """
    path = _path(pci_address)
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("format") != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        document["addresses"] = tuple(LinuxAddress(**one) for one in document["addresses"])
        document["routes"] = tuple(
            LinuxRoute(**{**one, "metrics": tuple((str(name), int(value)) for name, value in one["metrics"])})
            for one in document["routes"]
        )
        document["lost"] = tuple(document["lost"])
        saved = LinuxInterface(**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SavedStateError(f"{path} is damaged ({error}); delete it and configure the interface by hand") from error
    if saved.pci_address != pci_address:
        raise SavedStateError(f"{path} is that of {saved.pci_address}; delete it")
    return saved


def save(saved: LinuxInterface) -> Path:
    """Keep a configuration, whole or not at all.

    :raises SavedStateError: if it cannot be written.
    """
    return write_document(_path(saved.pci_address), {"format": _FORMAT, **asdict(saved)})


def forget(pci_address: str) -> None:
    """Delete what was kept, if anything was."""
    try:
        _path(pci_address).unlink(missing_ok=True)
    except OSError as error:
        raise SavedStateError(f"{_path(pci_address)} cannot be deleted: {error}") from error


def former_names() -> list[tuple[str, str]]:
    """Return interface name and PCI address of every device of which something is kept."""
    found = []
    for path in sorted(state_directory().glob(f"*{_SUFFIX}")):
        address = path.name.removesuffix(_SUFFIX)
        try:
            saved = load(address) if is_pci_address(address) else None
        except SavedStateError:  # reported where the device is asked for by its address
            continue
        if saved is not None:
            found.append((saved.name, saved.pci_address))
    return found


_SUFFIX = ".linux.json"


def _path(pci_address: str) -> Path:
    if not is_pci_address(pci_address):
        raise SavedStateError(f"{pci_address!r} is no PCI address such as 0000:03:00.0")
    return state_directory() / f"{pci_address}{_SUFFIX}"


def _read_address(message: Any, name: str) -> LinuxAddress:
    local, far = message.get_attr("IFA_LOCAL"), message.get_attr("IFA_ADDRESS")
    times = message.get_attr("IFA_CACHEINFO") or {}
    label = message.get_attr("IFA_LABEL")
    return LinuxAddress(
        address=f"{local or far}/{message['prefixlen']}",
        peer=far if local is not None and far != local else None,
        broadcast=message.get_attr("IFA_BROADCAST"),
        label=label if label != name else None,
        scope=message["scope"],
        flags=(message.get_attr("IFA_FLAGS") or message["flags"]) & _SETTABLE,
        valid_s=_lifetime(times.get("ifa_valid", _FOREVER)),
        preferred_s=_lifetime(times.get("ifa_preferred", _FOREVER)),
    )


def _lifetime(seconds: int) -> int | None:
    return None if seconds == _FOREVER else seconds


def _out_interfaces(message: Any) -> set[int]:
    several = message.get_attr("RTA_MULTIPATH") or ()
    return {message.get_attr("RTA_OIF"), *(hop["oif"] for hop in several)}


def _read_route(message: Any) -> LinuxRoute:
    any_address = "::" if message["family"] == _AF_INET6 else "0.0.0.0"
    metrics = message.get_attr("RTA_METRICS")
    return LinuxRoute(
        to=f"{message.get_attr('RTA_DST') or any_address}/{message['dst_len']}",
        gateway=message.get_attr("RTA_GATEWAY"),
        source=message.get_attr("RTA_PREFSRC"),
        metric=message.get_attr("RTA_PRIORITY"),
        table=message.get_attr("RTA_TABLE"),
        protocol=message["proto"],
        scope=message["scope"],
        flags=message["flags"] & _ONLINK,
        metrics=tuple(_read_metrics(metrics["attrs"])) if metrics else (),
    )


def _read_metrics(attributes: Any) -> Iterator[tuple[str, int]]:
    for name, value in attributes:
        if isinstance(value, int):
            yield name.removeprefix("RTAX_").lower(), value


def _unsupported(message: Any) -> str | None:
    for attribute, words in (
        ("RTA_MULTIPATH", "has several next hops"),
        ("RTA_NH_ID", "uses a next hop object"),
        ("RTA_VIA", "has a gateway of the other family"),
        ("RTA_ENCAP_TYPE", "is encapsulated"),
        ("RTA_SRC", "is chosen by source address"),
    ):
        if message.get_attr(attribute) is not None:
            return f"route to {message.get_attr('RTA_DST') or 'default'}, which {words}"
    return None


def _still_valid(saved: LinuxInterface, now: float) -> Iterator[LinuxAddress]:
    elapsed = max(0, int(now - saved.saved_at))
    for one in saved.addresses:
        if one.valid_s is None:
            yield one
        elif one.valid_s > elapsed:
            preferred = None if one.preferred_s is None else max(0, one.preferred_s - elapsed)
            yield LinuxAddress(**{**asdict(one), "valid_s": one.valid_s - elapsed, "preferred_s": preferred})


def _in_order(saved: LinuxInterface) -> list[LinuxRoute]:
    """Return the routes to set, those without a gateway first, since gateways are found through them. Routers announce
    theirs again, and an interface that is down has none."""
    own = [route for route in saved.routes if route.protocol != _PROTOCOL_RA and saved.is_up]
    return sorted(own, key=lambda route: route.gateway is not None)


def _address_arguments(one: LinuxAddress) -> dict[str, Any]:
    address, _, length = one.address.partition("/")
    arguments: dict[str, Any] = {"prefixlen": int(length), "scope": one.scope}
    if one.peer is not None:
        arguments |= {"local": address, "address": one.peer}
    else:
        arguments["address"] = address
        if ":" not in address:
            arguments["local"] = address
    if one.broadcast is not None:
        arguments["broadcast"] = one.broadcast
    if one.label is not None:
        arguments["label"] = one.label
    if one.flags:
        arguments["flags"] = one.flags
    if one.valid_s is not None:
        preferred = _FOREVER if one.preferred_s is None else one.preferred_s
        arguments |= {"valid_lft": one.valid_s, "preferred_lft": preferred}
    return arguments


def _route_arguments(one: LinuxRoute) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "family": _AF_INET6 if one.is_ipv6 else _AF_INET,
        "dst": one.to,
        "table": one.table,
        "proto": one.protocol,
        "scope": one.scope,
    }
    if one.flags:
        arguments["flags"] = one.flags
    for name, value in (("gateway", one.gateway), ("prefsrc", one.source), ("priority", one.metric)):
        if value is not None:
            arguments[name] = value
    if one.metrics:
        arguments["metrics"] = dict(one.metrics)
    return arguments


def _route_text(one: LinuxRoute) -> str:
    words = ["default" if one.is_default else one.to]
    if one.gateway is not None:
        words.append(f"via {one.gateway}")
    if one.table != _MAIN_TABLE:
        words.append(f"table {one.table}")
    if one.metric:
        words.append(f"metric {one.metric}")
    return " ".join(words)


def _attempt(action: Callable[[], object]) -> str | None:
    """Return what went wrong, if something did; what is already there is right."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        action()
    except NetlinkError as error:
        return None if error.code == errno.EEXIST else str(error)
    except (OSError, ValueError, FramelaneError) as error:
        return str(error)
    return None


def _await_addresses(netlink: Any, index: int) -> None:
    """Wait until IPv6 addresses may be the source of a route, or the limit passed."""
    deadline = time.monotonic() + _TENTATIVE_LIMIT_S
    while time.monotonic() < deadline:
        messages = netlink.get_addr(index=index, family=_AF_INET6)
        if not any((message.get_attr("IFA_FLAGS") or 0) & _TENTATIVE for message in messages):
            return
        time.sleep(0.05)
