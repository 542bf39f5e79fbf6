"""The table ``[transport]``: names checked against what is known, plugin tables against the plugins' models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from framelane.driver.sources import Assignment
from framelane.transport.config import Rule, TransportConfig
from framelane.transport.names import DEFAULT_ORDER, nearest
from framelane.transport.registry import Registry
from framelane.transport.spec import TransportSettings

__all__ = ["environment_aliases", "resolve_transports"]


def resolve_transports(
    assignments: Iterable[Assignment],
    registry: Registry,
    sources: dict[str, str],
    problems: list[str],
    warnings: list[str],
) -> TransportConfig:
    """Merge and check what the sources say about transports. A name must be known; it need not be installed."""
    known = {*DEFAULT_ORDER, *registry.names}
    use: tuple[str, ...] | None = None
    require: str | None = None
    rules: tuple[Rule, ...] = ()
    tables: dict[str, dict[str, object]] = {}
    for one in assignments:
        if one.path[1] == "use":
            use = _names(one, known, problems)
        elif one.path[1] == "require":
            name = one.raw
            require = str(name) if name and _is_known(name, one, known, problems) else None
        elif one.path[1] == "rules":
            rules = _rules(one, known, problems)
        elif not isinstance(one.raw, dict) and len(one.path) == 2:
            problems.append(f"{one.key} = {one.raw!r}: expected a table [{one.key}] ({one.source})")
            continue
        elif _is_known(one.path[1], one, known, problems):
            table = tables.setdefault(one.path[1], {})
            if len(one.path) == 3:
                table[one.path[2]] = one.raw
        if len(one.path) == 3 or one.path[1] in ("use", "require", "rules"):
            sources[one.key] = one.source
    return TransportConfig(
        use=DEFAULT_ORDER if use is None else use,
        use_is_default=use is None,
        require=require,
        rules=rules,
        plugins=_plugins(tables, registry, sources, problems, warnings),
        tables=frozenset(tables),
    )


def environment_aliases(registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return what the installed plugins call their settings in the environment: the path of each name."""
    aliases: dict[str, tuple[str, ...]] = {}
    for name, plugin in registry.plugins.items():
        for variable, key in plugin.spec.settings.environment.items():
            path = tuple(key.split("."))
            aliases.setdefault(variable, path if path[0] == "driver" else ("transport", name, *path))
    return aliases


def _is_known(name: object, one: Assignment, known: set[str], problems: list[str], where: str = "") -> bool:
    if isinstance(name, str) and name in known:
        return True
    guess = nearest(name, known) if isinstance(name, str) else ""
    problem = f"{one.key}{where}: {name!r} is no known transport ({one.source}){guess}"
    if problem not in problems:  # each key of a mistyped table would repeat it
        problems.append(problem)
    return False


def _names(one: Assignment, known: set[str], problems: list[str]) -> tuple[str, ...]:
    raw = one.raw
    if isinstance(raw, str):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    if not isinstance(raw, list) or not raw:
        problems.append(f"{one.key} = {one.raw!r}: expected a list of at least one transport ({one.source})")
        return ()
    names = [str(name) for name in raw if _is_known(name, one, known, problems)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{one.key}: {name} stands there more than once ({one.source})")
    return tuple(names)


def _rules(one: Assignment, known: set[str], problems: list[str]) -> tuple[Rule, ...]:
    if not isinstance(one.raw, list):
        problems.append(f"{one.key}: expected [[transport.rules]] tables ({one.source})")
        return ()
    rules = []
    for index, raw in enumerate(one.raw):
        where = f"[{index}]"
        try:
            rule = Rule.model_validate(raw)
        except ValidationError as error:
            problems += _explain(error, Rule, f"{one.key}{where}", one.source)
            continue
        if _is_known(rule.transport, one, known, problems, where):
            rules.append(rule)
    return tuple(rules)


def _plugins(
    tables: Mapping[str, dict[str, object]],
    registry: Registry,
    sources: Mapping[str, str],
    problems: list[str],
    warnings: list[str],
) -> dict[str, TransportSettings]:
    """Return the settings of every installed plugin, those without a table at their defaults."""
    settings: dict[str, TransportSettings] = {}
    for name, plugin in registry.plugins.items():
        model = plugin.spec.settings
        try:
            settings[name] = model.model_validate(tables.get(name, {}))
        except ValidationError as error:
            problems += _explain(error, model, f"transport.{name}", None, sources)
        except Exception as error:
            problems.append(f"transport.{name}: its settings model raised {type(error).__name__}: {error}")
    for name in sorted(set(tables) - set(registry.plugins)):
        state = "is broken or disabled" if registry.broken_named(name) else "is not installed"
        warnings.append(f"transport.{name}: the transport {state}, so its table is not checked")
    return settings


def _explain(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str,
    source: str | None,
    sources: Mapping[str, str] | None = None,
) -> list[str]:
    """Return one line per error of a pydantic model."""
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        key = ".".join([prefix, *location])
        where = source or (sources or {}).get(f"{prefix}.{location[0]}" if location else prefix, "")
        suffix = f" ({where})" if where else ""
        if item["type"] == "extra_forbidden" and len(location) == 1:
            lines.append(f"{key}: unknown key{suffix}{nearest(location[0], model.model_fields)}")
        else:
            lines.append(f"{key}{_shown(item.get('input'))}: {item['msg'].removeprefix('Value error, ')}{suffix}")
    return lines


def _shown(value: Any) -> str:
    return f" = {value!r}" if isinstance(value, str | int | float) else ""
