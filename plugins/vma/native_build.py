"""How the native half is compiled; the environment's part in it is that of :mod:`framelane_abi.build`.

Nothing of VMA is needed: it is loaded at run time.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from framelane_abi.build import describe_module


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_vma._native``."""
    builder = FFI()
    describe_module(builder, "framelane_vma._native", Path(__file__).resolve().parent, ["api/vma.h"], libraries=["dl"])
    return builder
