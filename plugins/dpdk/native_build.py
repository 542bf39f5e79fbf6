"""How the native half is compiled, where DPDK's headers are; the environment's part in it is that of
:mod:`framelane_abi.build`.

DPDK's own compiler flags are used unchanged, its ``-march`` among them: structures and vector code depend on it. What
is built so runs with the DPDK release that it was built against, on a processor like the one of that build.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from framelane_abi.build import compile_arguments, describe_module, link_arguments, pkg_config

#: The oldest release that the sources compile against.
LEAST_DPDK = "21.11"


def why_not() -> str | None:
    """Return why the native half cannot be compiled here; ``None`` if it can."""
    version = pkg_config("libdpdk", "--modversion")
    if version is None:
        return "pkg-config knows no libdpdk"
    if pkg_config("libdpdk", f"--atleast-version={LEAST_DPDK}") is None:
        return f"libdpdk is {version}, and {LEAST_DPDK} is the oldest that will do"
    return None


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_dpdk._native``."""
    flags = ["-DALLOW_EXPERIMENTAL_API"]
    for flag in (pkg_config("libdpdk", "--cflags") or "").split():
        # Warnings of DPDK's own headers are not ours to fix.
        flags += ["-isystem", flag[2:]] if flag.startswith("-I") else [flag]
    # The libraries of DPDK that are used, of all that it names.
    libraries = ["-Wl,--as-needed", *(pkg_config("libdpdk", "--libs") or "").split()]
    builder = FFI()
    describe_module(
        builder,
        "framelane_dpdk._native",
        Path(__file__).resolve().parent,
        ["api/dpdk.h", "api/floor.h"],
        compile_args=[*compile_arguments("gnu11"), *flags],
        link_args=[*libraries, *link_arguments()],
    )
    return builder
