"""Writes the tables of settings into the documentation: ``python -m framelane.driver.documentation FILE``.

Those of the driver are in ``docs/configuration.md``, those that every port has in ``docs/transports.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from framelane.driver.model import REMARKS, DriverSettings, default_of, environment_name, kind_of
from framelane.driver.unsupported import UNSUPPORTED
from framelane.transport.port_settings import PortSettings

__all__ = ["TABLES", "port_settings_table", "settings_table", "with_table"]

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
            unsupported = UNSUPPORTED[key]
            effect = "Ignored with a warning" if unsupported.is_ignored else "Only at its default"
            meaning += f" *{effect}: other values need {unsupported.feature}.*"
        lines.append(f"| `{key}` | `{environment_name(key)}` | {kind.name} | {shown} | {kind.accepts} | {meaning} |")
    return "\n".join(lines)


def port_settings_table() -> str:
    """Return the table of the keys that ``[transport.NAME]`` has for every port."""
    lines = ["| Key | Default | Meaning |", "|---|---|---|"]
    for key, field in PortSettings.model_fields.items():
        default = field.default
        shown = "unset" if default in (None, ()) else f"`{str(default).lower()}`"
        lines.append(f"| `{key}` | {shown} | {field.description} |")
    return "\n".join(lines)


#: The tables, by the line that stands before each.
TABLES: dict[str, Callable[[], str]] = {
    f"<!-- The table is written by: python -m framelane.driver.documentation {file} -->": table
    for file, table in (("docs/configuration.md", settings_table), ("docs/transports.md", port_settings_table))
}


def with_table(document: str) -> str:
    """Return a document with its table as it should be.

    :raises ValueError: if it has no place for one.
    """
    for begin, table in TABLES.items():
        before, found, rest = document.partition(begin)
        _, end, after = rest.partition(END)
        if found and end:
            return f"{before}{begin}\n\n{table()}\n\n{END}{after}"
    raise ValueError(f"the document has none of {', '.join(TABLES)} with {END!r} behind it")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
