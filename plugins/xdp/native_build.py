"""How the native half is compiled.

The ABI headers and those in ``c/api`` are the whole surface that Python sees. They are written in the subset of C that
cffi parses, so one declaration serves the C sources and the bindings, and a wrong one fails the build.

Environment: ``FRAMELANE_WERROR=1`` turns warnings into errors; ``FRAMELANE_SANITIZE=address`` or ``thread`` builds
for that sanitizer, ``debug`` for a debugger and quickly. ``CC`` names the compiler.

The headers of libxdp and libbpf are the system's. Without them nothing is compiled: the plugin installs all the same,
and its probe says what is missing.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

from cffi import FFI

import framelane_abi

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "c"

#: What the C sources include of the system, by the package that has it in Debian and Ubuntu.
HEADERS = {"xdp/xsk.h": "libxdp-dev", "bpf/bpf.h": "libbpf-dev", "linux/if_xdp.h": "linux-libc-dev"}

SANITIZERS = {
    "": ["-O3"],
    "debug": ["-O0"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "thread": ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"],
}


def compile_arguments() -> list[str]:
    """Return the compiler's arguments, the same for every source."""
    arguments = ["-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-fvisibility=hidden"]
    arguments += SANITIZERS[os.environ.get("FRAMELANE_SANITIZE", "")]
    if os.environ.get("FRAMELANE_WERROR"):
        arguments.append("-Werror")
    return arguments


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


def declarations(header: Path) -> str:
    """Return the declarations of one header as cffi takes them: without includes, guards and assertions."""
    kept = []
    for line in header.read_text().splitlines():
        if line.startswith("#") and not re.match(r"#define\s+\w+\s+\(?-?(0x)?[0-9A-Fa-f]+\)?\s*(/\*.*)?$", line):
            continue
        kept.append(re.sub(r"#define\s+(\w+)\s+.*", r"#define \1 ...", line))
    text = re.sub(r"\bstatic_assert\s*\(.*?\);", "", "\n".join(kept), flags=re.DOTALL)
    return re.sub(r"^FL_(BEGIN|END)_DECLS$", "", text, flags=re.MULTILINE)


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane_xdp._native``."""
    abi = Path(framelane_abi.get_include())
    public = [abi / "framelane" / name for name in ("types.h", "host.h", "port.h", "floor.h")]
    builder = FFI()
    for header in [*public, SOURCE / "api" / "xdp.h", SOURCE / "api" / "floor.h"]:
        builder.cdef(declarations(header))
    builder.set_source(
        "framelane_xdp._native",
        '#include "api/xdp.h"\n#include "api/floor.h"\n#pragma GCC diagnostic ignored "-Wextra"\n',
        sources=[os.path.relpath(path, HERE) for path in sorted(SOURCE.glob("*.c"))],
        depends=[os.path.relpath(path, HERE) for path in sorted(SOURCE.rglob("*.h"))],
        libraries=["xdp", "bpf"],
        include_dirs=[str(abi), os.path.relpath(SOURCE, HERE)],
        extra_compile_args=compile_arguments(),
        extra_link_args=[a for a in compile_arguments() if a.startswith("-fsanitize")],
    )
    return builder
