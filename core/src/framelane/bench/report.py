"""Showing a benchmark: a table, and a picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from framelane.bench.model import Benchmark, Result
from framelane.errors import FramelaneError

__all__ = ["check_plot", "print_table", "write_plot"]


_FILE_WIDTH = 220


def quantity(value: float, unit: str) -> str:
    """Return a value as a person reads it."""
    if unit == "us":
        return f"{value:,.1f} us"
    for factor, prefix in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:,.2f} {prefix}"
    return f"{value:,.0f}"


def print_table(benchmark: Benchmark) -> None:
    """Print the results, a line each."""
    unit = benchmark.results[0].unit if benchmark.results else ""
    table = Table(title=f"{benchmark.benchmark} in {unit}, transport {benchmark.transport}", title_justify="left")
    has_names = len({result.name for result in benchmark.results}) > 1
    for heading in (*(("name",) if has_names else ()), "length", "direction"):
        table.add_column(heading)
    for heading in ("median", "min", "max", "bytes/s", "loss", "CPU s/M", "calls/msg", "hand-over ns"):
        table.add_column(heading, justify="right")
    table.add_column("floor")
    for heading in ("floor median", "ratio"):
        table.add_column(heading, justify="right")
    for result in benchmark.results:
        table.add_row(*((result.name,) if has_names else ()), *row(result))
    console = Console()
    console = console if console.is_terminal else Console(width=_FILE_WIDTH)
    console.print(table)
    for result in benchmark.results:
        if percentiles := sorted(result.ours, key=lambda m: m.value)[len(result.ours) // 2].percentiles_us:
            shown = "  ".join(f"{name} {value:.1f}" for name, value in percentiles.items())
            console.print(f"{result.message_length} bytes, us: {shown}")
    for note in benchmark.notes:
        console.print(note)


def row(result: Result) -> list[str]:
    """Return the cells of one result."""
    middle = sorted(result.ours, key=lambda m: m.value)[len(result.ours) // 2]
    calls = middle.system_calls_per_message
    return [
        str(result.message_length),
        result.direction,
        *(quantity(value, result.unit) for value in (result.median, *extremes(result))),
        quantity(middle.bytes_per_second, "bytes/s") if result.is_rate else "",
        f"{middle.loss:.1%}" if result.is_rate else "",
        f"{middle.cpu_s_per_million:.2f}",
        "" if calls is None else f"{calls:.2f}",
        "" if result.handovers_ns is None else "{}..{}".format(*result.handovers_ns),
        result.floor_name,
        quantity(result.floor_median, result.unit),
        f"{result.ratio:.2f}",
    ]


def extremes(result: Result) -> tuple[float, float]:
    """Return the smallest and the largest of our measurements."""
    values = [measured.value for measured in result.ours]
    return min(values), max(values)


def check_plot() -> None:
    """Check that a picture can be made, before minutes are spent on what it is to show.

    :raises FramelaneError: without matplotlib.
    """
    if find_spec("matplotlib") is None:
        raise FramelaneError("--plot needs matplotlib: pip install 'framelane[plot]', or leave --plot out")


def write_plot(benchmark: Benchmark, path: Path) -> None:
    """Write a bar chart of ours and the floors.

    :raises FramelaneError: without matplotlib, or if the file cannot be written.
    """
    check_plot()
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    results = benchmark.results
    figure, axes = pyplot.subplots(figsize=(max(6, len(results) * 0.9), 5))
    places = range(len(results))
    axes.bar([place - 0.2 for place in places], [r.median for r in results], width=0.4, label=benchmark.transport)
    axes.bar([place + 0.2 for place in places], [r.floor_median for r in results], width=0.4, label="floor")
    labels = [f"{r.name}\n{r.message_length} {r.direction}\n{r.floor_name}\n{r.ratio:.2f}x" for r in results]
    axes.set_xticks(list(places), labels, rotation=60, ha="right", fontsize=7)
    axes.set_yscale("log")  # from sendto to segmentation is a factor of a hundred
    axes.set_ylabel(results[0].unit if results else "")
    axes.set_title(f"{benchmark.benchmark}, transport {benchmark.transport}")
    axes.legend()
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise FramelaneError(f"cannot write {path}: {error.strerror}") from error
    pyplot.close(figure)
