"""Where settings come from: TOML file, environment, property files, ``-D`` and ``--set``.

Each source becomes a list of assignments in one form, so that everything after it treats them alike.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framelane.driver.model import CLIENT_NAMES, KEYS_BY_NAME, OTHER_NAMES, DriverSettings, environment_name
from framelane.errors import ConfigError
from framelane.transport.names import RESERVED_NAMES, is_name, nearest

__all__ = ["Assignment", "Collected", "Property", "collect", "parse_definition", "read_property_file"]

_FOREIGN_PREFIXES = ("AERON_ARCHIVE_", "AERON_CLUSTER_")
_TRANSPORT_NAMES = {"FRAMELANE_TRANSPORT_USE": "use", "FRAMELANE_TRANSPORT_REQUIRE": "require"}


@dataclass(frozen=True)
class Property:
    """A Java-style property as the drop-in's command line takes it."""

    name: str
    value: str
    source: str  #: for messages: ``-Daeron.mtu.length`` or ``media.properties:3``


@dataclass(frozen=True)
class Assignment:
    """One value for one key. Later ones win."""

    path: tuple[str, ...]  #: ``("driver", "mtu_length")`` or ``("transport", "xdp", "interface")``
    raw: object
    source: str

    @property
    def key(self) -> str:
        """The path in one piece."""
        return ".".join(self.path)


@dataclass
class Collected:
    """Everything that the sources said.

    :ivar transports: names of transports that environment names may contain.
    :ivar aliases: further names of the environment, those of plugins.
    """

    transports: Sequence[str]
    aliases: Mapping[str, tuple[str, ...]]
    assignments: list[Assignment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def collect(
    file: Path | None,
    environ: Mapping[str, str],
    properties: Iterable[Property],
    overrides: Iterable[str],
    *,
    strict: bool,
    transports: Iterable[str],
    aliases: Mapping[str, tuple[str, ...]],
) -> Collected:
    """Read all sources, in the order in which a later one wins.

    :param transports: known names: ``FRAMELANE_TRANSPORT_XDP_VLAN`` is ``vlan`` of ``xdp`` if that is one.
    :param aliases: further names of the environment, those of plugins, each with the path that it sets.
    :raises ConfigError: if the file cannot be read or is not TOML; every other problem is collected.
    """
    # The longest name first, in case that one begins with another.
    collected = Collected(sorted(transports, key=len, reverse=True), aliases)
    if file is not None:
        _collect_file(file, collected)
    _collect_environment(environ, collected, strict=strict)
    for one in properties:
        _collect_property(one, collected)
    for text in overrides:
        _collect_override(text, collected)
    return collected


def read_property_file(path: Path) -> list[Property]:
    """Read a property file: ``name=value`` or ``name: value`` lines, # and ! comments, lines continued by a backslash.

    :raises ConfigError: if it cannot be read, or with every line that is no property.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"property file {path} cannot be read: {error}") from error
    properties, problems = [], []
    for number, line in _logical_lines(lines):
        match = re.fullmatch(r"([^\s=:]+)\s*[=:\s]\s*(.*)", line)
        if match is None:
            problems.append(f"{path}:{number}: {line!r} is not name=value")
            continue
        properties.append(Property(match[1], match[2].strip(), f"{path}:{number}"))
    if problems:
        raise ConfigError("\n".join(problems), tuple(problems))
    return properties


def parse_definition(argument: str) -> Property:
    """Read a ``-Dname=value`` argument.

    :raises ConfigError: if it is none.
    """
    name, equals, value = argument.removeprefix("-D").partition("=")
    if not argument.startswith("-D") or not name or not equals:
        raise ConfigError(f"{argument!r} is not -Dname=value")
    return Property(name, value, f"-D{name}")


def _logical_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    pending, begin = "", 0
    for number, line in enumerate(lines, 1):
        text = line.strip() if not pending else pending + line.strip()
        begin = begin if pending else number
        pending = ""
        if not text or text[0] in "#!":
            continue
        if text.endswith("\\") and not text.endswith("\\\\"):
            pending = text[:-1]
            continue
        yield begin, text.replace("\\\\", "\\")
    if pending:
        yield begin, pending


def _collect_file(file: Path, collected: Collected) -> None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {file} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration file {file} is not TOML: {error}") from error
    source = f"file {file}"
    for section, table in document.items():
        if section not in ("driver", "transport"):
            guess = nearest(section, ["driver", "transport"])
            if section in DriverSettings.model_fields:
                guess = "; it belongs under [driver]"
            collected.problems.append(f"{section}: unknown key ({source}){guess}")
        elif not isinstance(table, dict):
            collected.problems.append(f"{section} = {table!r}: expected a table [{section}] ({source})")
        elif section == "driver":
            for key, raw in table.items():
                _assign((section, key), raw, source, collected)
        else:
            for key, raw in table.items():
                if key not in RESERVED_NAMES and isinstance(raw, dict):
                    collected.assignments.append(Assignment((section, key), {}, source))
                    for inner, value in raw.items():
                        _assign((section, key, inner), value, source, collected)
                else:
                    _assign((section, key), raw, source, collected)


def _collect_environment(environ: Mapping[str, str], collected: Collected, *, strict: bool) -> None:
    for name, value in sorted(environ.items()):
        if not name.startswith(("AERON_", "FRAMELANE_")):
            continue
        source = f"environment {name}"
        if not value and name in KEYS_BY_NAME:
            continue  # as if it were not there: so scripts and containers pass on what nobody has set
        if _collect_name(name, value, source, collected):
            continue
        known = [*KEYS_BY_NAME, *_TRANSPORT_NAMES, *collected.aliases]
        complaint = f"{name}: unknown name in the environment{nearest(name, known)}"
        (collected.problems if strict else collected.warnings).append(complaint)


def _collect_property(one: Property, collected: Collected) -> None:
    name = one.name.upper().replace(".", "_")
    if not name.startswith(("AERON_", "FRAMELANE_")):
        collected.warnings.append(f"{one.name}: not a setting of the driver, ignored ({one.source})")
    elif not _collect_name(name, one.value, _property_source(one), collected):
        names = {known.lower().replace("_", "."): known for known in [*KEYS_BY_NAME, *collected.aliases]}
        collected.problems.append(f"{one.name}: unknown property ({one.source}){nearest(one.name, names)}")


def _property_source(one: Property) -> str:
    return one.source if one.source.startswith("-D") else f"property {one.name} ({one.source})"


def _collect_name(name: str, value: str, source: str, collected: Collected) -> bool:
    """Take a value by its environment name. Returns whether the name is known."""
    if name in CLIENT_NAMES or name in OTHER_NAMES or name.startswith(_FOREIGN_PREFIXES):
        return True
    if name in KEYS_BY_NAME:
        collected.assignments.append(Assignment(("driver", KEYS_BY_NAME[name]), value, source))
        return True
    if name in _TRANSPORT_NAMES:
        collected.assignments.append(Assignment(("transport", _TRANSPORT_NAMES[name]), value, source))
        return True
    for transport in collected.transports:
        prefix = f"FRAMELANE_TRANSPORT_{transport.upper().replace('-', '_')}_"
        key = name.removeprefix(prefix).lower()
        if name.startswith(prefix) and key:
            _collect_text(("transport", transport, key), value, source, collected)
            return True
    if name in collected.aliases:
        collected.assignments.append(Assignment(collected.aliases[name], value, source))
        return True
    return False


def _collect_override(text: str, collected: Collected) -> None:
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    source = f"--set {key.strip()}"
    if not equals or not all(path):
        collected.problems.append(f"--set {text}: expected key=value")
        return
    _collect_text(path, value, source, collected)


def _collect_text(path: tuple[str, ...], value: str, source: str, collected: Collected) -> None:
    """Take a value from text: TOML if it looks like a list, a table or a quoted string."""
    raw: object = value.strip()
    if value.strip()[:1] in ("[", "{", '"', "'"):
        try:
            raw = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            collected.problems.append(f"{'.'.join(path)} = {value}: the value is not TOML: {error} ({source})")
            return
    _assign(path, raw, source, collected)


def _assign(path: tuple[str, ...], raw: object, source: str, collected: Collected) -> None:
    """Take a value by its path, if there is such a key."""
    is_driver_key = path[0] == "driver" and len(path) == 2 and path[1] in DriverSettings.model_fields
    is_transport_key = path[0] == "transport" and (
        (len(path) == 2 and path[1] in RESERVED_NAMES) or (len(path) == 3 and is_name(path[1]))
    )
    if is_driver_key or is_transport_key:
        collected.assignments.append(Assignment(path, raw, source))
    else:
        key = ".".join(path)
        known = [f"driver.{name}" for name in _driver_keys()] + [f"transport.{name}" for name in sorted(RESERVED_NAMES)]
        # A key without its section is more often a forgotten section than a mistyped one.
        guess = nearest(key, known) if path[0] in ("driver", "transport") else nearest(f"driver.{key}", known)
        by_environment = {environment_name(name).lower(): name for name in _driver_keys()}
        if path[-1].lower() in by_environment:
            guess = f"; did you mean driver.{by_environment[path[-1].lower()]}?"
        collected.problems.append(f"{key}: unknown key ({source}){guess}")


def _driver_keys() -> list[str]:
    return list(DriverSettings.model_fields)
