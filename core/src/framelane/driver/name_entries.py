"""The text of the table of the name resolver ``csv_table``; used by :mod:`framelane.driver.name_table`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NameEntry", "parse_name_table"]

_COLUMNS = 3


@dataclass(frozen=True)
class NameEntry:
    """One name of the table; the hosts are names or addresses."""

    name: str
    initial_host: str
    later_host: str

    @property
    def label(self) -> str:
        """Of its counter."""
        return (
            f"NameEntry{{name='{self.name}', initialResolutionHost='{self.initial_host}', "
            f"reResolutionHost='{self.later_host}'}}"
        )


def parse_name_table(text: str) -> tuple[NameEntry, ...]:
    """Parse ``name,initial host,later host|name,...``.

    :raises ValueError: with the row that is none.
    """
    entries = []
    for row in filter(None, text.split("|")):
        columns = [column.strip() for column in row.split(",")]
        if len(columns) != _COLUMNS or not all(columns):
            raise ValueError(f"row {row!r} is not name,initial host,later host")
        entries.append(NameEntry(*columns))
    return tuple(entries)
