"""How the native half is compiled: with framelane-abi, which is all that it needs besides cffi."""

from pathlib import Path

from cffi import FFI

from framelane_abi.build import describe_module


def make_ffibuilder() -> FFI:
    builder = FFI()
    describe_module(builder, "framelane_udp_minimal._native", Path(__file__).resolve().parent, ["udp_minimal.h"])
    return builder
