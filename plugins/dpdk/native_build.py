"""How the native half is compiled, where DPDK's headers are.

The ABI headers and those in ``c/api`` are the whole surface that Python sees. They are written in the subset of C that
cffi parses, so one declaration serves the C sources and the bindings, and a wrong one fails the build.

DPDK's own compiler flags are used unchanged, its ``-march`` among them: structures and vector code depend on it. What
is built so runs with the DPDK release that it was built against, on a processor like the one of that build.

Environment: ``FRAMELANE_WERROR=1`` turns warnings into errors; ``FRAMELANE_SANITIZE=address`` or ``thread`` builds
for that sanitizer, ``debug`` for a debugger and quickly.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from cffi import FFI

import framelane_abi

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "c"

#: The oldest release that the sources compile against.
LEAST_DPDK = "21.11"

SANITIZERS = {
    "": ["-O3"],
    "debug": ["-O0"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "thread": ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"],
}


def pkg_config(*arguments: str) -> str | None:
    """Return what ``pkg-config`` says of libdpdk; ``None`` if there is none, or it says no."""
    command = os.environ.get("PKG_CONFIG") or "pkg-config"
    if shutil.which(command) is None:
        return None
    done = subprocess.run([command, *arguments, "libdpdk"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def why_not() -> str | None:
    """Return why the native half cannot be compiled here; ``None`` if it can."""
    version = pkg_config("--modversion")
    if version is None:
        return "pkg-config knows no libdpdk"
    if pkg_config(f"--atleast-version={LEAST_DPDK}") is None:
        return f"libdpdk is {version}, and {LEAST_DPDK} is the oldest that will do"
    return None


def compile_arguments() -> list[str]:
    """Return the compiler's arguments, the same for every source."""
    arguments = ["-std=gnu11", "-D_GNU_SOURCE", "-DALLOW_EXPERIMENTAL_API", "-g", "-Wall", "-Wextra"]
    arguments += ["-fvisibility=hidden", *SANITIZERS[os.environ.get("FRAMELANE_SANITIZE", "")]]
    for flag in (pkg_config("--cflags") or "").split():
        # Warnings of DPDK's own headers are not ours to fix.
        arguments += ["-isystem", flag[2:]] if flag.startswith("-I") else [flag]
    if os.environ.get("FRAMELANE_WERROR"):
        arguments.append("-Werror")
    return arguments


def link_arguments() -> list[str]:
    """Return the linker's arguments: the libraries of DPDK that are used, of all that it names."""
    libraries = (pkg_config("--libs") or "").split()
    return ["-Wl,--as-needed", *libraries, *(one for one in compile_arguments() if one.startswith("-fsanitize"))]


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
    """Return the builder of ``framelane_dpdk._native``."""
    abi = Path(framelane_abi.get_include())
    public = [abi / "framelane" / name for name in ("types.h", "host.h", "port.h", "floor.h")]
    builder = FFI()
    for header in [*public, SOURCE / "api" / "dpdk.h", SOURCE / "api" / "floor.h"]:
        builder.cdef(declarations(header))
    builder.set_source(
        "framelane_dpdk._native",
        '#include "api/dpdk.h"\n#include "api/floor.h"\n#pragma GCC diagnostic ignored "-Wextra"\n',
        sources=[os.path.relpath(path, HERE) for path in sorted(SOURCE.rglob("*.c"))],
        depends=[os.path.relpath(path, HERE) for path in sorted(SOURCE.rglob("*.h"))],
        include_dirs=[str(abi), os.path.relpath(SOURCE, HERE)],
        extra_compile_args=compile_arguments(),
        extra_link_args=link_arguments(),
    )
    return builder
