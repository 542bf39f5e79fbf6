"""How the native half is compiled by setup.py; :mod:`framelane_efvi.build` does the same in an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "src"))

from framelane_efvi.build import describe, find_sdk  # noqa: E402

__all__ = ["make_ffibuilder"]


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_efvi._native``; only where :func:`find_sdk` finds the SDK."""
    builder = FFI()
    describe(builder, HERE, "src/framelane_efvi/c", find_sdk())
    return builder
