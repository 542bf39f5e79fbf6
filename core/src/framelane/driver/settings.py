"""Settings, resolved: from all sources in order, each value with where it came from, all problems at once.

settings = load_settings(Path("framelane.toml"), overrides=["driver.mtu_length=8k"])
settings.driver.mtu_length, settings.sources["driver.mtu_length"]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from framelane.driver.checks import check, find_unsupported
from framelane.driver.model import DriverSettings, kind_of
from framelane.driver.sources import Assignment, Property, collect, parse_definition, read_property_file
from framelane.driver.transport_table import environment_aliases, resolve_transports
from framelane.errors import ConfigError
from framelane.shm.location import default_directory
from framelane.transport.config import TransportConfig
from framelane.transport.names import DEFAULT_ORDER
from framelane.transport.registry import Registry, discover

__all__ = [
    "DriverSettings",
    "Property",
    "ResolvedSettings",
    "load_settings",
    "parse_definition",
    "read_property_file",
]

DEFAULT_SOURCE = "default"


@dataclass(frozen=True)
class ResolvedSettings:
    """The configuration of one driver."""

    driver: DriverSettings
    transport: TransportConfig
    #: Where each key came from, ``driver.mtu_length`` and ``transport.xdp.interface`` alike; absent: the default.
    sources: Mapping[str, str]
    warnings: tuple[str, ...]
    registry: Registry  #: the plugins that the transport tables were checked against

    def source(self, key: str) -> str:
        """Return where the value of a dotted key came from."""
        return self.sources.get(key, DEFAULT_SOURCE)


def load_settings(
    file: Path | str | None = None,
    environ: Mapping[str, str] = os.environ,
    properties: Iterable[Property] = (),
    overrides: Iterable[str] = (),
    *,
    strict: bool = False,
    registry: Registry | None = None,
) -> ResolvedSettings:
    """Resolve the configuration: defaults, TOML file, environment, properties, overrides; later ones win.

    :param file: ``None``: what ``FRAMELANE_CONFIG`` in the environment names, or no file.
    :param properties: of property files and ``-D`` arguments, in the order of the command line.
    :param overrides: ``section.key=value`` texts, the arguments of ``--set``.
    :param strict: an unknown ``AERON_*`` or ``FRAMELANE_*`` name in the environment is an error and not a warning.
    :param registry: the installed plugins; ``None``: discover them.
    :raises ConfigError: with every problem of every source.
    """
    if file is None:
        file = environ.get("FRAMELANE_CONFIG") or None
    if registry is None:
        registry = discover(environ=environ)
    collected = collect(
        Path(file) if file is not None else None,
        environ,
        properties,
        overrides,
        strict=strict,
        transports={*DEFAULT_ORDER, *registry.names},
        aliases=environment_aliases(registry),
    )
    problems, warnings = collected.problems, [*registry.warnings, *collected.warnings]
    sources: dict[str, str] = {}

    drivers = [one for one in collected.assignments if one.path[0] == "driver"]
    transports = [one for one in collected.assignments if one.path[0] == "transport"]
    driver = _resolve_driver(drivers, environ, sources, problems, warnings)
    transport = resolve_transports(transports, registry, sources, problems, warnings)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"the configuration has {count}:\n" + "\n".join(f"  {p}" for p in problems), tuple(problems))
    return ResolvedSettings(driver, transport, sources, tuple(warnings), registry)


def _resolve_driver(
    assignments: Iterable[Assignment],
    environ: Mapping[str, str],
    sources: dict[str, str],
    problems: list[str],
    warnings: list[str],
) -> DriverSettings:
    """Parse every assignment, the losing ones too, and check the values against each other."""
    values: dict[str, object] = {"dir": default_directory(environ)}
    for one in assignments:
        key, kind = one.path[1], kind_of(one.path[1])
        try:
            value = kind.parse(one.raw)
        except ValueError as error:
            problems.append(f"{one.key} = {one.raw!r}: {error} ({one.source})")
            continue
        clamped = kind.clamp(value)
        if clamped != value:
            shown = kind.show(clamped)
            warnings.append(f"{one.key} = {one.raw!r} is outside {kind.accepts}; {shown} is used ({one.source})")
        values[key], sources[one.key] = clamped, one.source
    settings = DriverSettings.model_validate(values)
    for found, texts in (
        ((*check(settings), *find_unsupported(settings, ignored=False)), problems),
        (find_unsupported(settings, ignored=True), warnings),
    ):
        for key, wrong in found:
            shown = kind_of(key).show(getattr(settings, key))
            source = sources.get(f"driver.{key}", DEFAULT_SOURCE)
            texts.append(f"driver.{key} = {shown}: {wrong} ({source})")
    return settings
