"""How the native half is compiled; the environment's part in it is that of :mod:`framelane_abi.build`.

The headers of libxdp and libbpf are the system's. Without them nothing is compiled: the plugin installs all the same,
and its probe says what is missing. ``CC`` names the compiler that looks for them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from cffi import FFI

from framelane_abi.build import describe_module

#: What the C sources include of the system, by the package that has it in Debian and Ubuntu.
HEADERS = {"xdp/xsk.h": "libxdp-dev", "bpf/bpf.h": "libbpf-dev", "linux/if_xdp.h": "linux-libc-dev"}


def missing_headers() -> list[str]:
    """Return the system headers that the compiler does not find, each with its package."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    missing = []
    for header, package in HEADERS.items():
        command = [*compiler, *shlex.split(os.environ.get("CPPFLAGS", "")), "-E", "-x", "c", "-o", os.devnull, "-"]
        found = subprocess.run(command, input=f"#include <{header}>\n", text=True, capture_output=True, check=False)
        if found.returncode != 0:
            missing.append(f"{header} ({package})")
    return missing


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_xdp._native``."""
    builder = FFI()
    describe_module(
        builder,
        "framelane_xdp._native",
        Path(__file__).resolve().parent,
        ["api/xdp.h", "api/floor.h"],
        libraries=["xdp", "bpf"],
    )
    return builder
