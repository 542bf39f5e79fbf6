"""How the native half is compiled; the environment's part in it is that of :mod:`framelane_abi.build`."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from framelane_abi.build import describe_module


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_sockets._native``."""
    builder = FFI()
    describe_module(builder, "framelane_sockets._native", Path(__file__).resolve().parent, ["api/sockets.h"])
    return builder
