"""``framelane bench``: ours beside the raw system calls."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


class Name(StrEnum):
    """The benchmarks."""

    FRAMES = "frames"
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    IPC = "ipc"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    name: Annotated[Name, typer.Argument(help="What to measure.")],
    transport: Annotated[str, typer.Option(help="The transport to measure.")] = "sockets",
    length: Annotated[
        list[str] | None, typer.Option(help="Measure this length alone, or mixed ones; may be given several times.")
    ] = None,
    veth: Annotated[bool, typer.Option("--veth", help="Between two namespaces made for it; needs root.")] = False,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one loop.")] = 0.1,
    runs: Annotated[int, typer.Option(min=1, help="Alternating runs of each loop; the median counts.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG with the results; needs matplotlib.")] = None,
) -> None:
    """Measure a transport or a driver, alternating with the floors: raw system calls, or a plain ring for IPC."""
    from rich.console import Console
    from rich.progress import Progress

    from framelane.bench.report import check_plot, print_table, write_plot
    from framelane.bench.suites import SUITES, Options, run_suite, with_lengths

    options = Options(transport, veth, seconds, runs)
    if length:
        options = with_lengths(name, options, length)
    if plot is not None:
        check_plot()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"bench {name}", total=SUITES[name].count(options))
        benchmark = run_suite(name, options, lambda: bar.advance(task))
    if plot is not None:
        write_plot(benchmark, plot)
    if as_json:
        print(json.dumps(benchmark.as_json(), indent=2))
    else:
        print_table(benchmark)
