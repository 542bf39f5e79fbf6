"""Discovery: which transport plugins are installed, and which of them are broken.

The entry points are walked here, each in a guard, so that one plugin's failure is a record and not everybody's. Every
accepted plugin has a pluggy manager of its own: its hooks are called one plugin at a time, and a failing one is known
by name.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

import pluggy

from framelane.errors import TransportError
from framelane.transport.names import RESERVED_NAMES, is_name, nearest
from framelane.transport.spec import (
    ENTRY_POINT_GROUP,
    Level,
    Obstacle,
    TransportHooks,
    TransportSettings,
    TransportSpec,
)
from framelane_abi import ABI_VERSION

__all__ = ["BrokenPlugin", "Claim", "HookFailure", "Plugin", "Registry", "discover", "load_plugin"]


@dataclass(frozen=True)
class Claim:
    """An entry point of the group, as the metadata of an installed distribution states it."""

    name: str
    value: str  #: ``module`` or ``module:object``
    distribution: str
    version: str


@dataclass(frozen=True)
class Plugin:
    """An installed transport that can be probed and opened."""

    claim: Claim
    spec: TransportSpec
    hooks: pluggy.HookRelay  #: of this plugin alone

    @property
    def name(self) -> str:
        """The transport's name."""
        return self.claim.name


@dataclass(frozen=True)
class BrokenPlugin:
    """An installed plugin that is left out, and why."""

    claim: Claim
    obstacle: Obstacle
    abi_version: int | None = None
    level: Level | None = None
    traceback: str = ""
    is_disabled: bool = False  #: left out on purpose, not imported


@dataclass(frozen=True)
class HookFailure:
    """A plugin's hook raised."""

    plugin: Plugin
    error: Exception


class _Refused(Exception):
    """A plugin that loads but breaks the contract."""

    def __init__(self, obstacle: Obstacle, spec: TransportSpec | None = None) -> None:
        super().__init__(obstacle.found)
        self.obstacle = obstacle
        self.spec = spec


@dataclass(frozen=True)
class Registry:
    """What discovery found. A name may stand in ``broken`` more than once, and never in both."""

    plugins: Mapping[str, Plugin]
    broken: tuple[BrokenPlugin, ...] = ()
    warnings: tuple[str, ...] = ()

    def broken_named(self, name: str) -> tuple[BrokenPlugin, ...]:
        """Return the broken plugins that claim a name."""
        return tuple(plugin for plugin in self.broken if plugin.claim.name == name)

    @property
    def names(self) -> frozenset[str]:
        """Every installed name, usable or not."""
        return frozenset(self.plugins) | {plugin.claim.name for plugin in self.broken}

    def call_each(self, call: Callable[[pluggy.HookRelay], object]) -> list[HookFailure]:
        """Call a hook of every plugin, such as ``lambda hooks: hooks.framelane_driver_started(driver=driver)``.

        :returns: those that raised; the others were called all the same.
        """
        failures = []
        for plugin in self.plugins.values():
            try:
                call(plugin.hooks)
            except Exception as error:
                failures.append(HookFailure(plugin, error))
        return failures


def discover(
    *,
    strict: bool | None = None,
    environ: Mapping[str, str] = os.environ,
    claims: Iterable[Claim] | None = None,
) -> Registry:
    """Find the installed transports. Loads their Python modules and nothing native; probes nothing.

    :param strict: raise at the first broken plugin; ``None``: as ``FRAMELANE_STRICT_TRANSPORTS=1`` says.
    :param environ: ``FRAMELANE_DISABLE_TRANSPORTS=name,name`` leaves plugins out without importing them.
    :param claims: instead of those of the installed distributions.
    :raises TransportError: only if strict.
    """
    if strict is None:
        strict = environ.get("FRAMELANE_STRICT_TRANSPORTS", "0") not in ("", "0")
    disabled = {name.strip() for name in environ.get("FRAMELANE_DISABLE_TRANSPORTS", "").split(",")} - {""}
    by_name: dict[str, list[Claim]] = {}
    warnings: list[str] = []
    for claim in _installed_claims(warnings) if claims is None else claims:
        by_name.setdefault(claim.name, []).append(claim)
    warnings += [
        f"FRAMELANE_DISABLE_TRANSPORTS names {name!r}, which is not installed{nearest(name, by_name)}"
        for name in sorted(disabled - set(by_name))
    ]

    plugins: dict[str, Plugin] = {}
    broken: list[BrokenPlugin] = []
    for name, claimants in sorted(by_name.items()):
        if name in disabled:
            broken += [BrokenPlugin(claim, _disabled(claim), is_disabled=True) for claim in claimants]
            continue
        if len(claimants) > 1:
            failures = [BrokenPlugin(claim, _claimed_twice(claim, claimants)) for claim in claimants]
        else:
            loaded = _guarded_load(claimants[0])
            if isinstance(loaded, Plugin):
                plugins[name] = loaded
                continue
            failures = [loaded]
        if strict:
            raise TransportError(_strict_message(failures[0]))
        broken += failures
    return Registry(plugins, tuple(broken), tuple(warnings))


def load_plugin(claim: Claim) -> Plugin:
    """Import one plugin and check what it declares.

    :raises Exception: whatever its import or its hook raises, or the refusal of what it declares.
    """
    _check_name(claim)
    implementation = metadata.EntryPoint(claim.name, claim.value, ENTRY_POINT_GROUP).load()
    manager = pluggy.PluginManager("framelane")
    manager.add_hookspecs(TransportHooks)
    manager.register(implementation, name=claim.name)
    _check_hooks(claim, manager, implementation)
    described = manager.hook.framelane_transport()
    if len(described) != 1 or not isinstance(described[0], TransportSpec):
        raise _Refused(
            Obstacle(
                asked="the hook framelane_transport returns one TransportSpec",
                found=f"it returned {described[0]!r}" if described else "the plugin does not implement it",
                where=claim.value,
                next=f"report this to the authors of {claim.distribution}",
            )
        )
    spec = described[0]
    _check_spec(claim, spec)
    return Plugin(claim, spec, manager.hook)


def _installed_claims(warnings: list[str]) -> Iterator[Claim]:
    """Walk the distributions on the path; the first of one name shadows later ones, as for imports."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            if ENTRY_POINT_GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = distribution.metadata["Name"] or "(unnamed)", distribution.version or "(no version)"
            entry_points = [point for point in distribution.entry_points if point.group == ENTRY_POINT_GROUP]
        except Exception as error:
            where = getattr(distribution, "_path", distribution)  # a distribution has no public way to say where it is
            warnings.append(f"the metadata of an installed distribution cannot be read: {where}: {error}")
            continue
        key = name.lower().replace("_", "-").replace(".", "-")
        if key in seen:
            continue
        seen.add(key)
        for point in entry_points:
            yield Claim(point.name, point.value, name, version)


def _guarded_load(claim: Claim) -> Plugin | BrokenPlugin:
    try:
        return load_plugin(claim)
    except _Refused as refusal:
        spec = refusal.spec
        return BrokenPlugin(
            claim,
            refusal.obstacle,
            abi_version=spec.abi_version if spec else None,
            level=spec.level if spec else None,
        )
    except (Exception, SystemExit) as error:
        obstacle = Obstacle(
            asked=f"import {claim.value} and describe its transport",
            found=f"{type(error).__name__}: {error}",
            where=f"entry point {claim.name} of {claim.distribution} {claim.version}",
            next=f"reinstall {claim.distribution} or report this to its authors; "
            "'framelane transports --verbose' shows the traceback",
        )
        return BrokenPlugin(claim, obstacle, traceback=traceback.format_exc())


def _check_name(claim: Claim) -> None:
    if is_name(claim.name) and claim.name not in RESERVED_NAMES:
        return
    wrong = "is reserved" if claim.name in RESERVED_NAMES else "is not a transport's name"
    raise _Refused(
        Obstacle(
            asked="a name of lower case letters, digits and hyphens that begins with a letter and is none of "
            + ", ".join(sorted(RESERVED_NAMES)),
            found=f"{claim.name!r} {wrong}",
            where=f"entry points of {claim.distribution} {claim.version}",
            next=f"report this to the authors of {claim.distribution}",
        )
    )


def _check_hooks(claim: Claim, manager: pluggy.PluginManager, implementation: object) -> None:
    known = [name for name in dir(TransportHooks) if name.startswith("framelane_")]
    for caller in manager.get_hookcallers(implementation) or []:
        if not caller.has_spec():
            raise _Refused(
                Obstacle(
                    asked="hooks of this framelane: " + ", ".join(known),
                    found=f"{caller.name} is not one of them{nearest(caller.name, known)}",
                    where=claim.value,
                    next=f"install a {claim.distribution} that fits this framelane",
                )
            )


def _check_spec(claim: Claim, spec: TransportSpec) -> None:
    if spec.abi_version != ABI_VERSION:
        raise _Refused(
            Obstacle(
                asked=f"frame-transport ABI version {ABI_VERSION}, which this framelane has",
                found=f"ABI version {spec.abi_version}",
                where=f"{claim.distribution} {claim.version}",
                next=f"install a {claim.distribution} that was built for ABI version {ABI_VERSION}",
            ),
            spec,
        )
    # The annotations promise all this; a plugin need not have been type checked.
    level: object = spec.level
    settings: object = spec.settings
    wrong = None
    if spec.name != claim.name:
        wrong = f"the transport calls itself {spec.name!r}, its entry point {claim.name!r}"
    elif not isinstance(level, Level):
        wrong = f"level is {level!r}"
    elif not (isinstance(settings, type) and issubclass(settings, TransportSettings)):
        wrong = f"settings is {settings!r}, not a subclass of TransportSettings"
    elif not all(callable(function) for function in (spec.probe, spec.open)):
        wrong = "probe or open cannot be called"
    if wrong is not None:
        raise _Refused(
            Obstacle(
                asked="a TransportSpec as framelane.transport documents it",
                found=wrong,
                where=claim.value,
                next=f"report this to the authors of {claim.distribution}",
            )
        )
    spec.settings()  # every field has a default; raises otherwise


def _disabled(claim: Claim) -> Obstacle:
    return Obstacle(
        asked=f"transport {claim.name}",
        found="it is disabled",
        where="FRAMELANE_DISABLE_TRANSPORTS in the environment",
        next=f"take {claim.name} out of FRAMELANE_DISABLE_TRANSPORTS to use it",
    )


def _claimed_twice(claim: Claim, claimants: list[Claim]) -> Obstacle:
    return Obstacle(
        asked=f"one distribution that provides the transport {claim.name}",
        found="more than one does: " + ", ".join(f"{other.distribution} {other.version}" for other in claimants),
        where=f"entry points of the group {ENTRY_POINT_GROUP}",
        next="uninstall all but one of them",
    )


def _strict_message(plugin: BrokenPlugin) -> str:
    claim, obstacle = plugin.claim, plugin.obstacle
    lines = [
        f"transport {claim.name!r} of {claim.distribution} {claim.version} is broken, and discovery is strict:",
        f"  asked     {obstacle.asked}",
        f"  found     {obstacle.found}",
        f"  where     {obstacle.where}",
        f"  next      {obstacle.next}",
    ]
    return "\n".join(lines) + (f"\n{plugin.traceback}" if plugin.traceback else "")
