"""Which transport serves an endpoint, why, and why not the ones before it. A pure function of what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from framelane.errors import TransportError
from framelane.netstack.routes import IpAddress
from framelane.transport.config import TransportConfig
from framelane.transport.names import nearest
from framelane.transport.question import Question
from framelane.transport.spec import Device, Verdict
from framelane.transport.standing import Standing

__all__ = [
    "Chosen",
    "NoTransportError",
    "PassedOver",
    "check_required",
    "effective_order",
    "find_problem",
    "select",
    "source_for",
]


_ONE_QUEUE = (
    "Threading mode DEDICATED needs a queue each for sender and receiver, and {name} has one; "
    "threading_mode AUTO, SHARED_NETWORK or SHARED does with one."
)


@dataclass(frozen=True)
class PassedOver:
    """A transport that stood before the chosen one in the order."""

    name: str
    why: str  #: a complete sentence
    #: The transport is wanted and failed, rather than not being meant for this endpoint.
    is_failure: bool


@dataclass(frozen=True)
class Chosen:
    """The transport of an endpoint."""

    label: str
    transport: str
    why: str  #: a complete sentence
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def is_fallback(self) -> bool:
        """Whether a wanted transport failed before this one was reached; the driver logs that as a warning."""
        return any(one.is_failure for one in self.passed_over)

    def __str__(self) -> str:
        lines = [f"transport: {self.transport} ({self.why})"]
        return "\n".join([*lines, *(f"  not {one.name:<10} {one.why}" for one in self.passed_over)])


class NoTransportError(TransportError):
    """No transport can serve an endpoint.

    :ivar passed_over: all that were tried, with their reasons.
    """

    def __init__(self, message: str, passed_over: tuple[PassedOver, ...]) -> None:
        super().__init__(message)
        self.passed_over = passed_over


def select(
    config: TransportConfig,
    standings: Mapping[str, Standing],
    question: Question,
    *,
    dedicated: bool = False,
) -> Chosen:
    """Choose the transport of one endpoint.

    The channel's ``transport=`` comes first and alone; else the first matching rule's transport and then the order.

    :param dedicated: the threading mode is an explicit DEDICATED: sender and receiver need a queue each.
    :raises NoTransportError: if none can serve it; the message gives the reason for each.
    :raises TransportError: if the channel names a transport that nobody knows.
    """
    order, why = _candidates(config, standings, question)
    named = order[0] if why else None
    passed_over: list[PassedOver] = []
    for name in order:
        obstacle = _obstacle(standings.get(name), name, question, dedicated=dedicated, is_named=name == named)
        if obstacle is None:
            reason = why if name == named else _order_reason(config, passed_over)
            return Chosen(question.label, name, reason + _extent(standings[name], question), tuple(passed_over))
        passed_over.append(obstacle)
    raise NoTransportError(_none_message(question, passed_over), tuple(passed_over))


def find_problem(standing: Standing) -> str | None:
    """Return why a transport can serve no endpoint at all, a complete sentence; ``None`` if it can."""
    name, verdict = standing.name, standing.verdict
    if verdict is None:
        return f"{name} {standing.reason}."
    if verdict.usable:
        return None
    if not verdict.obstacles:
        return f"{name} is not usable, and its probe does not say why."
    first = verdict.obstacles[0]
    return f"{name} is not usable: {first.asked}: {first.found} ({first.where})."


def effective_order(config: TransportConfig, standings: Mapping[str, Standing]) -> tuple[str, ...]:
    """Return the order in which transports are tried: the configured one, else the default among what is installed."""
    return tuple(
        name
        for name in config.order
        if not config.use_is_default or (name in standings and standings[name].is_mentioned)
    )


def source_for(verdict: Verdict, question: Question) -> IpAddress | None:
    """Return what a send endpoint on a device is bound to in place of the wildcard: its own address toward the peer.

    :returns: ``None`` if the transport finds it by routes of its own, or has no devices.
    """
    if question.address.is_multicast:
        return None
    for device in verdict.devices or ():
        if device.interface is not None:
            if device.interface == question.interface:
                return question.source
        elif question.sends:
            for own in map(ip_interface, device.addresses):
                if question.address.version == own.version and question.address in own.network:
                    return own.ip
    return None


def check_required(config: TransportConfig, standings: Mapping[str, Standing], *, dedicated: bool = False) -> None:
    """Check at driver start that the transport of ``transport.require`` can be used at all.

    :param dedicated: as for :func:`select`.
    :raises TransportError: with its verdict.
    """
    name = config.require
    if name is None:
        return
    standing = standings.get(name, Standing(name, reason="is not installed"))
    verdict = standing.verdict
    if verdict is not None and verdict.usable:
        if dedicated and verdict.capabilities.queues == 1:
            raise TransportError(f'transport.require = "{name}" cannot be met: {_ONE_QUEUE.format(name=name)}')
        return
    if verdict is None:
        lines = [f'transport.require = "{name}" cannot be met: {name} {standing.reason}']
        lines.append("  next      install or repair it, or remove transport.require")
    else:
        lines = [f'transport.require = "{name}" cannot be met, {name} is installed but not usable:']
        for obstacle in verdict.obstacles:
            lines.append(f"  asked     {obstacle.asked}")
            lines.append(f"  found     {obstacle.found} ({obstacle.where})")
            lines.append(f"  next      {obstacle.next}")
    lines.append("  more      framelane transports --verbose")
    raise TransportError("\n".join(lines))


def _candidates(
    config: TransportConfig, standings: Mapping[str, Standing], question: Question
) -> tuple[tuple[str, ...], str]:
    """Return the transports to try, and why the first of them is first if somebody named it for this endpoint."""
    if question.transport is not None:
        if question.transport not in standings:
            raise TransportError(
                f"{question.label}: transport={question.transport} names no known transport"
                f"{nearest(question.transport, standings)}\n"
                f"  known     {', '.join(sorted(standings))}\n"
                "  more      framelane transports"
            )
        return (question.transport,), f"The channel names it with transport={question.transport}."
    order = effective_order(config, standings)
    for rule in config.rules:
        if question.matches(rule):
            why = f"The rule for {rule} names it."
            if rule.require:
                return (rule.transport,), why
            return (rule.transport, *(name for name in order if name != rule.transport)), why
    return order, ""


def _obstacle(
    standing: Standing | None, name: str, question: Question, *, dedicated: bool, is_named: bool
) -> PassedOver | None:
    """Return why a transport cannot serve an endpoint, or ``None`` if it can."""
    standing = standing or Standing(name, reason="is not installed")
    problem, verdict = find_problem(standing), standing.verdict
    if problem is not None:
        return PassedOver(name, problem, is_failure=is_named or standing.is_wanted)
    assert verdict is not None
    elsewhere = _not_meant_for(name, verdict, question, is_named=is_named)
    if elsewhere is not None:
        return PassedOver(name, elsewhere, is_failure=is_named)
    incapable = _incapable(name, verdict, question, dedicated=dedicated)
    return PassedOver(name, incapable, is_failure=True) if incapable is not None else None


def _not_meant_for(name: str, verdict: Verdict, question: Question, *, is_named: bool) -> str | None:
    """Return why an endpoint is no business of a transport, however able it is."""
    is_local = question.is_local or (question.sends and _has_address(verdict, question.address))
    if is_local and not verdict.capabilities.loops_back:
        return f"{question.address} is an address of this host, and {name} does not loop datagrams back."
    if verdict.devices is None:
        return None
    if question.is_wildcard:
        if is_named:
            return None
        return (
            f"A wildcard bind receives on every interface, and {name} serves its own devices only; "
            f"a rule or transport={name} in the channel chooses it all the same."
        )
    if any(_reaches(device, question) for device in verdict.devices):
        return None
    devices = ", ".join(device.name for device in verdict.devices) or "no device"
    if question.interface is not None:
        where = "is reached through" if question.sends else "is on"
        return f"{question.text} {where} {question.interface}, and {name} has {devices}."
    return f"The kernel has no interface for {question.text}, and it is not on a network of {name} ({devices})."


def _incapable(name: str, verdict: Verdict, question: Question, *, dedicated: bool) -> str | None:
    """Return what a transport lacks for an endpoint that is its business."""
    able = verdict.capabilities
    if question.address.is_multicast and not able.multicast:
        return f"{question.address} is a multicast group, and {name} has no multicast."
    if question.address.version == 6 and not able.ipv6:
        return f"{question.address} is an IPv6 address, and {name} has IPv4 only."
    longest = able.longest_datagram(question.address.version)
    if question.mtu_length > longest:
        return f"The channel's mtu is {question.mtu_length} bytes, and {name} carries at most {longest}."
    if dedicated and able.queues == 1:
        return _ONE_QUEUE.format(name=name)
    return None


def _has_address(verdict: Verdict, address: IpAddress) -> bool:
    """Whether a device that the kernel does not have has an address, which is this host's although no route says so."""
    return any(ip_interface(own).ip == address for device in verdict.devices or () for own in device.addresses)


def _reaches(device: Device, question: Question) -> bool:
    """Whether a device is the way to the peer, or has the bind address."""
    if device.interface is not None and device.interface == question.interface:
        return True
    own = [ip_interface(text) for text in device.addresses]
    if not question.sends and not question.address.is_multicast:
        return any(question.address == interface.ip for interface in own)
    if question.address.is_multicast:
        # The kernel's route to a group says nothing about a device that the kernel does not have: the source does.
        return any(question.source == interface.ip for interface in own)
    networks = [interface.network for interface in own] + [ip_network(text) for text in device.reaches]
    return any(question.address.version == network.version and question.address in network for network in networks)


def _order_reason(config: TransportConfig, passed_over: list[PassedOver]) -> str:
    order = "the default order" if config.use_is_default else "transport.use"
    if not passed_over:
        required = "transport.require names it" if config.require is not None else f"It is first in {order}"
        return f"{required}."
    return f"It is the first in {order} that can serve the endpoint."


def _extent(standing: Standing, question: Question) -> str:
    """Return what a wildcard bind on a device transport must be told."""
    verdict = standing.verdict
    if verdict is None or verdict.devices is None or not question.is_wildcard:
        return ""
    devices = ", ".join(device.name for device in verdict.devices)
    return f" The wildcard bind receives on {devices} only."


def _none_message(question: Question, passed_over: list[PassedOver]) -> str:
    lines = [f"no transport can serve {question.label}:"]
    lines += [f"  {one.name:<10}{one.why}" for one in passed_over]
    if not passed_over:
        lines.append("  transport.use is empty")
    if question.transport is not None:
        lines.append("  next      take transport= out of the channel to let the configured order decide")
    else:
        lines.append("  next      repair one of them, or name one that can in transport.use")
    lines.append("  more      framelane transports --verbose")
    return "\n".join(lines)
