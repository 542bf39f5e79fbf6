"""How every transport stands: installed or not, considered or not, and what its probe said.

This is the part of selection that looks at the machine; :mod:`framelane.transport.selection` only compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from framelane.transport.config import TransportConfig
from framelane.transport.hardware import find_hardware
from framelane.transport.names import DEFAULT_ORDER, DEVICE_TRANSPORTS
from framelane.transport.probe import run_probes
from framelane.transport.registry import Plugin, Registry
from framelane.transport.spec import TransportSettings, Verdict

__all__ = ["Probe", "Standing", "considered", "stand", "standings"]

Probe = Callable[[Iterable[Plugin], Mapping[str, TransportSettings]], dict[str, Verdict]]


@dataclass(frozen=True)
class Standing:
    """One transport, before any endpoint is looked at."""

    name: str
    verdict: Verdict | None = None  #: ``None``: not probed
    #: Why it was not probed; a clause that follows the transport's name, such as "is not installed".
    reason: str = ""
    #: The user named it or its hardware is there, so leaving it out is worth a warning.
    is_wanted: bool = False
    #: The default order is over what is installed: of the others only those with hardware in sight are mentioned.
    is_mentioned: bool = True


def considered(registry: Registry, config: TransportConfig, hardware: Mapping[str, tuple[str, ...]]) -> list[Plugin]:
    """Return the plugins whose probes run at driver start, in order of name.

    A device transport is considered only if it was configured or its hardware is present; others if anything names
    them, the default order included.
    """
    wanted = config.configured | set(hardware)
    return [
        plugin
        for name, plugin in sorted(registry.plugins.items())
        if name in wanted or (name in config.order and name not in DEVICE_TRANSPORTS)
    ]


def standings(
    registry: Registry,
    config: TransportConfig,
    *,
    hardware: Mapping[str, tuple[str, ...]] | None = None,
    probe: Probe = run_probes,
) -> dict[str, Standing]:
    """Probe what is worth it and return the standing of every known transport.

    :param hardware: what :func:`find_hardware` found; ``None``: look.
    """
    if hardware is None:
        hardware = find_hardware()
    chosen = considered(registry, config, hardware)
    verdicts = probe(chosen, config.plugins)
    names = sorted({*DEFAULT_ORDER, *config.order, *registry.names, *config.configured})
    worth = {plugin.name for plugin in chosen}
    return {name: stand(name, registry, config, hardware, verdicts.get(name), name in worth) for name in names}


def stand(
    name: str,
    registry: Registry,
    config: TransportConfig,
    hardware: Mapping[str, tuple[str, ...]],
    verdict: Verdict | None,
    is_considered: bool,
) -> Standing:
    """Return the standing of one transport; ``is_considered`` as :func:`considered` decided."""
    asked_for = name in config.configured or name in hardware
    wanted = asked_for or (name in config.order and name not in DEVICE_TRANSPORTS)
    broken = registry.broken_named(name)
    if broken and broken[0].is_disabled:
        return Standing(name, reason="is disabled by FRAMELANE_DISABLE_TRANSPORTS")
    if broken:
        return Standing(name, reason=f"is installed but broken: {broken[0].obstacle.found}", is_wanted=wanted)
    if name not in registry.plugins:
        reason = "is not installed"
        if name in DEFAULT_ORDER:
            reason += f" (pip install framelane-{name})"
        if name in hardware:
            reason += f", though its hardware is here: {', '.join(hardware[name])}"
        return Standing(name, reason=reason, is_wanted=name in config.configured, is_mentioned=asked_for)
    if not is_considered:
        if name in DEVICE_TRANSPORTS:
            reason = "is not configured, and none of its hardware is in /sys"
        else:
            reason = "is not named in transport.use or in a rule"
        return Standing(name, reason=reason)
    return Standing(name, verdict=verdict, is_wanted=wanted)
