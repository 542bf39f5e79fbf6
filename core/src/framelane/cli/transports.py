"""``framelane transports``: every installed transport, usable or not, and which one serves what.

With a driver in the directory these are its endpoints, as its counters tell; else what channels would get.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framelane.cli.options import ConfigOption, JsonOption, SetOption, make_console, print_json, warn
from framelane.driver.settings import ResolvedSettings, load_settings
from framelane.driver.verdicts import read_verdicts
from framelane.errors import FramelaneError, TransportError
from framelane.netstack.routes import Interface, NetlinkRoutes, Routes
from framelane.shm.cnc import CNC_FILE, CncFile, probe_activity
from framelane.shm.counter_types import CounterType, NetstackLabel
from framelane.transport.names import DEFAULT_ORDER
from framelane.transport.port_settings import PortSettings, port_facts
from framelane.transport.probe import run_probes
from framelane.transport.question import Question, ask
from framelane.transport.registry import BrokenPlugin, Plugin
from framelane.transport.selection import (
    Chosen,
    NoTransportError,
    PassedOver,
    check_required,
    effective_order,
    select,
)
from framelane.transport.spec import Fact, TransportSettings, Verdict
from framelane.transport.standing import Standing, standings

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["default_choices", "register", "report", "running_driver"]

#: Of a network for documentation (RFC 5737): only a default route leads there, and nothing is sent.
_FAR_ADDRESS = IPv4Address("198.51.100.1")
#: Longest that a driver which is just starting is waited for.
_START_LIMIT_MS = 1000


def register(app: typer.Typer) -> None:
    """Add ``transports``."""
    app.command("transports")(transports)


def transports(
    config: ConfigOption = None,
    overrides: SetOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Show what the driver of this directory does; else AERON_DIR's."),
    ] = None,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show capabilities, facts, every obstacle and tracebacks.")
    ] = False,
) -> None:
    """Probe every installed transport; show which are usable, why others are not, and what serves a running driver's
    endpoints or, without one, what a channel would get."""
    settings = load_settings(config, overrides=overrides or ())
    plugins = settings.registry.plugins
    verdicts = run_probes(plugins.values(), settings.transport.plugins)
    standing = standings(
        settings.registry,
        settings.transport,
        probe=lambda considered, _: {plugin.name: verdicts[plugin.name] for plugin in considered},
    )
    running = running_driver(directory or settings.driver.dir, settings.driver.driver_timeout // 1_000_000)
    served, networks = running or (None, [])
    if served is None and directory is not None:
        raise FramelaneError(
            f"no driver serves {directory}; start one, or leave --dir out to see what a channel would get"
        )
    if served:
        chosen = served
    else:
        with NetlinkRoutes() as routes:
            chosen = default_choices(settings, standing, routes)
    shown = report(settings, verdicts, standing, chosen, networks)
    for warning in settings.warnings:
        warn(warning)
    if as_json:
        print_json(shown)
        return
    _print(settings, shown, verbose=verbose)


def running_driver(
    directory: Path, driver_timeout_ms: int
) -> tuple[list[dict[str, object]], list[dict[str, object]]] | None:
    """Return what serves the endpoints of a running driver, as it decided then, and the netstacks of its ports;
    ``None`` if there is no driver."""
    path = directory / CNC_FILE
    if not path.exists():
        return None
    with CncFile.map(path, writable=False) as cnc:
        cnc_timeout_ms = driver_timeout_ms if cnc.version else min(driver_timeout_ms, _START_LIMIT_MS)
        if not probe_activity(cnc, cnc_timeout_ms).is_active:
            return None
        choices = [
            _choice(one.label, one.transport, one.why, [PassedOver(name, why, False) for name, why in one.passed_over])
            for one in read_verdicts(cnc.counters())
        ]
        networks = [
            {**asdict(NetstackLabel.decode(counter.label)), "neighbours": counter.value}
            for counter in cnc.counters()
            if counter.type_id == CounterType.TRANSPORT_NETSTACK
        ]
        return choices, networks


def default_choices(
    settings: ResolvedSettings, standing: Mapping[str, Standing], routes: Routes
) -> list[dict[str, object]]:
    """Return what channels would get from a driver started now: one for the default route, one per other interface
    that a device transport serves or a rule names. A driver that would not start gives nothing to any."""
    dedicated = settings.driver.threading_mode == "DEDICATED"
    try:
        check_required(settings.transport, standing, dedicated=dedicated)
    except TransportError as error:
        return [_choice("every channel", None, f"No driver starts: {error}", ())]
    mtu_length = settings.driver.mtu_length
    choices = []
    for question in _default_questions(settings, standing, routes, mtu_length):
        try:
            choices.append(chosen_as_json(select(settings.transport, standing, question, dedicated=dedicated)))
        except NoTransportError as error:
            choices.append(_choice(question.label, None, "No transport can serve it.", error.passed_over))
    return choices


def report(
    settings: ResolvedSettings,
    verdicts: Mapping[str, Verdict],
    standing: Mapping[str, Standing],
    chosen: Sequence[dict[str, object]],
    networks: Sequence[dict[str, object]] = (),
) -> dict[str, Any]:
    """Return what ``--json`` prints.

    :param verdicts: of every plugin that loads.
    :param chosen: :func:`chosen_as_json` of a running driver's endpoints, or :func:`default_choices`.
    :param networks: of a running driver's ports.
    """
    registry = settings.registry
    entries = [
        _entry(plugin, verdicts[plugin.name], settings.transport.plugins.get(plugin.name))
        for plugin in registry.plugins.values()
    ]
    entries += [_broken_entry(plugin) for plugin in registry.broken]
    return {
        "transports": sorted(entries, key=lambda entry: (entry["name"], entry["distribution"])),
        "order": list(effective_order(settings.transport, standing)),
        "chosen": list(chosen),
        "netstacks": list(networks),
    }


def chosen_as_json(chosen: Chosen) -> dict[str, object]:
    """Return one entry of ``chosen``."""
    return _choice(chosen.label, chosen.transport, chosen.why, chosen.passed_over)


def _choice(label: str, transport: str | None, why: str, passed_over: Iterable[PassedOver]) -> dict[str, object]:
    passed = [{"name": one.name, "why": one.why} for one in passed_over]
    return {"for": label, "transport": transport, "why": why, "passed_over": passed}


def _default_questions(
    settings: ResolvedSettings, standing: Mapping[str, Standing], routes: Routes, mtu_length: int
) -> list[Question]:
    interfaces = [interface for interface in routes.interfaces() if interface.is_up]
    default = ask(
        routes,
        label="default channel",
        address=_FAR_ADDRESS,
        port=0,
        endpoint="a peer beyond the default route",
        sends=True,
        mtu_length=mtu_length,
    )
    if default.interface is None:
        # No default route: the first network, or the loopback of a host that has none.
        local = sorted(interfaces, key=lambda interface: interface.is_loopback)
        default = next((q for i in local for q in _through(i, "default channel", mtu_length)), default)
    named = {rule.interface for rule in settings.transport.rules}
    for one in standing.values():
        if one.verdict is not None and one.verdict.usable:
            named |= {device.interface for device in one.verdict.devices or ()}
    others = [i for i in interfaces if i.name in named and i.name != default.interface]
    return [default, *(q for i in others for q in _through(i, f"a channel through {i.name}", mtu_length))]


def _through(interface: Interface, label: str, mtu_length: int) -> list[Question]:
    """Return the question of a channel to a neighbour on an interface, if it has an address."""
    for own in interface.addresses:
        if not own.ip.is_link_local:
            return [
                Question(
                    label,
                    address=own.network.network_address,
                    port=0,
                    endpoint=f"a neighbour on {interface.name}",
                    interface=interface.name,
                    source=own.ip,
                    is_local=interface.is_loopback,
                    mtu_length=mtu_length,
                )
            ]
    return []


def _entry(plugin: Plugin, verdict: Verdict, settings: TransportSettings | None) -> dict[str, Any]:
    facts = verdict.facts + (port_facts(settings, verdict) if isinstance(settings, PortSettings) else ())
    return {
        "name": plugin.name,
        "distribution": plugin.claim.distribution,
        "version": plugin.claim.version,
        "abi": plugin.spec.abi_version,
        "level": str(plugin.spec.level),
        "usable": verdict.usable,
        "capabilities": asdict(verdict.capabilities) if verdict.usable else {},
        "facts": _facts(facts),
        "obstacles": [asdict(obstacle) for obstacle in verdict.obstacles],
    }


def _broken_entry(plugin: BrokenPlugin) -> dict[str, Any]:
    return {
        "name": plugin.claim.name,
        "distribution": plugin.claim.distribution,
        "version": plugin.claim.version,
        "abi": plugin.abi_version,
        "level": str(plugin.level) if plugin.level else None,
        "usable": False,
        "capabilities": {},
        "facts": {"traceback": plugin.traceback} if plugin.traceback else {},
        "obstacles": [asdict(plugin.obstacle)],
    }


def _facts(facts: Iterable[Fact]) -> dict[str, str]:
    """Return facts by name; those of one name stand in one line."""
    by_name: dict[str, str] = {}
    for fact in facts:
        by_name[fact.name] = f"{by_name[fact.name]}; {fact.value}" if fact.name in by_name else fact.value
    return by_name


def _print(settings: ResolvedSettings, shown: dict[str, Any], *, verbose: bool) -> None:
    from rich.table import Table

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("transport", "distribution", "level", "usable", "note"):
        table.add_column(column, overflow="fold")
    for entry in shown["transports"]:
        plugin = settings.registry.plugins.get(entry["name"])
        note = entry["obstacles"][0]["found"] if entry["obstacles"] else plugin.spec.summary if plugin else ""
        table.add_row(
            entry["name"],
            f"{entry['distribution']} {entry['version']}",
            entry["level"] or "-",
            "yes" if entry["usable"] else "no",
            note,
        )
    console.print(table)
    if verbose:
        for entry in shown["transports"]:
            _print_details(console, entry)
    absent = [name for name in DEFAULT_ORDER if name not in settings.registry.names]
    if absent:
        console.print(f"\nnot installed: {', '.join(absent)} (pip install framelane-NAME)")
    console.print(f"\norder: {', '.join(shown['order'])}")
    for network in shown["netstacks"]:
        where = f"neighbours and routes of {network['interface']}" if network["interface"] else "neighbours of its own"
        addresses = ", ".join(network["addresses"]) or "no address"
        console.print(
            f"netstack of {network['transport']}: {addresses}, mtu {network['mtu']}, {where} "
            f"({network['neighbours']} known)",
            soft_wrap=True,
        )
    for choice in shown["chosen"]:
        why, *verdict = choice["why"].splitlines()
        console.print(f"{choice['for']}: {choice['transport'] or 'nothing'} ({why.rstrip(':')})", soft_wrap=True)
        for line in verdict:
            console.print(line, soft_wrap=True)
        for passed in choice["passed_over"]:
            console.print(f"  not {passed['name']:<10} {passed['why']}", soft_wrap=True)


def _print_details(console: Console, entry: dict[str, Any]) -> None:
    console.print(f"\n{entry['name']}, {entry['distribution']} {entry['version']}, ABI version {entry['abi'] or '-'}")
    lines = {
        name: ("yes" if value else "no") if isinstance(value, bool) else value
        for name, value in (entry["capabilities"] | entry["facts"]).items()
    }
    width = max(map(len, lines), default=0)
    for name, value in lines.items():
        text = str(value).rstrip().replace("\n", "\n    ")
        console.print(f"  {name:<{width}}  {text}", soft_wrap=True)
    for obstacle in entry["obstacles"]:
        for name in ("asked", "found", "where", "next"):
            console.print(f"  {name:<10}{obstacle[name]}", soft_wrap=True)
