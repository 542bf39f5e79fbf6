"""The hook that adds ``framelane efvi``; the command is imported when the command line asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framelane.transport import hookimpl

if TYPE_CHECKING:
    import typer

__all__ = ["framelane_register_commands"]


@hookimpl
def framelane_register_commands(app: typer.Typer) -> None:
    """Add ``framelane efvi build``."""
    from framelane_efvi.cli import make_app

    app.add_typer(make_app(), name="efvi")
