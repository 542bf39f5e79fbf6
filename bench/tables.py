"""Write the tables of docs/performance.md from what ``framelane bench --json`` printed.

python bench/tables.py results/*.json                            print them
python bench/tables.py results/*.json --into docs/performance.md replace what stands between the two marks there

A document may have several pairs of marks: ``--section devices`` is for ``<!-- tables devices: begin -->`` and its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADINGS = (
    *("length", "direction", "median", "min", "max", "CPU s/M", "calls/msg", "hand-over ns"),
    *("floor", "floor median", "ratio"),
)


def quantity(value: float, unit: str) -> str:
    """Return a value as a person reads it: microseconds, or a rate with its prefix."""
    if unit == "us":
        return f"{value:,.1f}"
    for factor, prefix in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:,.2f} {prefix}"
    return f"{value:,.0f}"


def row(result: dict[str, Any]) -> list[str]:
    """Return the cells of one result."""
    unit, calls = result["unit"], result.get("system_calls_per_message")
    return [
        str(result["message_length"]),
        result["direction"],
        *(quantity(result[key], unit) for key in ("median", "min", "max")),
        f"{result['cpu_s_per_million']:.2f}" if "cpu_s_per_million" in result else "",
        "" if calls is None else f"{calls:.2f}",
        "{}..{}".format(*handovers) if (handovers := result.get("handovers_ns")) else "",
        result["floor_name"],
        quantity(result["floor_median"], unit),
        f"{result['ratio']:.2f}",
    ]


def table(found: dict[str, Any]) -> str:
    """Return one benchmark as a Markdown section."""
    results = found["results"]
    unit = results[0]["unit"] if results else ""
    host = ", ".join(f"{name} {value}" for name, value in found["host"].items())
    lines = [f"### {found['benchmark']}, transport {found['transport']} ({unit})", "", f"Host: {host}."]
    lines += [f"{note[:1].upper()}{note[1:]}." for note in found.get("notes", ())]
    for name in dict.fromkeys(result["name"] for result in results):
        mine = [result for result in results if result["name"] == name]
        lines += ["", f"**{name}**"] if len(mine) < len(results) else []
        lines += ["", "| " + " | ".join(HEADINGS) + " |", "|---:|---|---:|---:|---:|---:|---:|---:|---|---:|---:|"]
        lines += ["| " + " | ".join(row(result)) + " |" for result in mine]
    percentiles = {
        str(result["message_length"]): result["percentiles_us"] for result in results if result.get("percentiles_us")
    }
    if percentiles:
        names = list(next(iter(percentiles.values())))
        lines += ["", "| length | " + " | ".join(names) + " |", "|---:" * (len(names) + 1) + "|"]
        lines += [
            f"| {length} | " + " | ".join(f"{values[name]:,.1f}" for name in names) + " |"
            for length, values in percentiles.items()
        ]
    return "\n".join(lines) + "\n"


def replace_tables(text: str, tables: str, section: str = "") -> str:
    """Return a document with the text between the marks of a section replaced.

    :raises ValueError: if the marks are not there once each, in this order.
    """
    first, last = (f"<!-- tables{' ' * bool(section)}{section}: {word} -->" for word in ("begin", "end"))
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in after or last in after:
        raise ValueError(f"the document needs the lines {first} and {last}, once each and in this order")
    return f"{before}{first}\n\n{tables}\n{last}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Tables from the output of framelane bench --json.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="write between the marks of this document")
    parser.add_argument("--section", default="", metavar="NAME", help="of the marks")
    options = parser.parse_args(arguments)
    try:
        tables = "\n".join(table(json.loads(file.read_text())) for file in options.files)
        if options.into is None:
            print(tables, end="")
        else:
            options.into.write_text(replace_tables(options.into.read_text(), tables, options.section))
    except (OSError, ValueError) as error:
        print(f"tables: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
