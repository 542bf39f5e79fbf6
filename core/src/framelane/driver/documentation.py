"""Writes the table of settings into ``docs/configuration.md``: ``python -m framelane.driver.documentation FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from framelane.driver.model import REMARKS, DriverSettings, default_of, environment_name, kind_of
from framelane.driver.unsupported import UNSUPPORTED

__all__ = ["BEGIN", "END", "settings_table", "with_table"]

BEGIN = "<!-- The table is written by: python -m framelane.driver.documentation docs/configuration.md -->"
END = "<!-- End of the table. -->"


def settings_table() -> str:
    """Return the table of all keys of ``[driver]``."""
    lines = ["| Key | Environment | Kind | Default | Accepts | Meaning |", "|---|---|---|---|---|---|"]
    for key, field in DriverSettings.model_fields.items():
        kind, default = kind_of(key), default_of(key)
        shown = (
            "`/dev/shm/aeron-USER`" if key == "dir" else f"`{kind.show(default)}`" if kind.show(default) else "unset"
        )
        meaning = field.description or ""
        if key in REMARKS:
            meaning += f" ({REMARKS[key]})"
        if key in UNSUPPORTED:
            meaning += f" *Only at its default: other values need {UNSUPPORTED[key].feature}.*"
        lines.append(f"| `{key}` | `{environment_name(key)}` | {kind.name} | {shown} | {kind.accepts} | {meaning} |")
    return "\n".join(lines)


def with_table(document: str) -> str:
    """Return a document with its table as it should be.

    :raises ValueError: if it has no place for one.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{settings_table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
