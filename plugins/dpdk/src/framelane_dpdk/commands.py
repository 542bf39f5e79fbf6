"""The hook that adds ``framelane dpdk``; the commands are imported when the command line asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framelane.transport import hookimpl

if TYPE_CHECKING:
    import typer

__all__ = ["framelane_register_commands"]


@hookimpl
def framelane_register_commands(app: typer.Typer) -> None:
    """Add ``framelane dpdk list|bind|unbind|restore|hugepages``."""
    from framelane_dpdk.cli import make_app

    app.add_typer(make_app(), name="dpdk")
