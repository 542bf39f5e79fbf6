"""How the data plane is compiled.

The headers in ``c/src/api`` are the whole surface that Python sees. They are written in the subset of C that cffi
parses, so one declaration serves the C sources and the bindings, and a wrong one fails the build.

Environment: ``FRAMELANE_WERROR=1`` turns warnings into errors; ``FRAMELANE_SANITIZE=address`` or ``thread`` builds
for that sanitizer, ``debug`` for a debugger and quickly.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cffi import FFI
from setuptools.command.build_ext import build_ext

import framelane_abi

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "c" / "src"

SANITIZERS = {
    "": ["-O3"],
    "debug": ["-O0"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "thread": ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"],
}


def compile_arguments() -> list[str]:
    """Return the compiler's arguments, the same for every source of the data plane."""
    arguments = ["-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"]
    arguments += SANITIZERS[os.environ.get("FRAMELANE_SANITIZE", "")]
    if os.environ.get("FRAMELANE_WERROR"):
        arguments.append("-Werror")
    return arguments


def link_arguments() -> list[str]:
    """Return the linker's arguments that match :func:`compile_arguments`."""
    return ["-pthread", *(a for a in compile_arguments() if a.startswith("-fsanitize"))]


def declarations(header: Path) -> str:
    """Return the declarations of one API header as cffi takes them: without includes, guards and assertions."""
    kept = []
    for line in header.read_text().splitlines():
        if line.startswith("#") and not re.match(r"#define\s+\w+\s+\(?-?(0x)?[0-9A-Fa-f]+\)?\s*(/\*.*)?$", line):
            continue
        line = re.sub(r"#define\s+(\w+)\s+\(.*", r"#define \1 ...", line)
        kept.append(re.sub(r"(#define\s+\w+\s+\w+)\s*/\*.*", r"\1", line))
    text = re.sub(r"\bstatic_assert\s*\(.*?\);", "", "\n".join(kept), flags=re.DOTALL)
    return re.sub(r"^FL_(BEGIN|END)_DECLS$", "", text, flags=re.MULTILINE)


def in_dependency_order(headers: list[Path]) -> list[Path]:
    """Return API headers so that each stands behind those it includes, as cffi needs it."""
    ordered: list[Path] = []

    def visit(header: Path) -> None:
        for name in re.findall(r'#include "api/(\w+\.h)"', header.read_text()):
            visit(SOURCE / "api" / name)
        if header not in ordered:
            ordered.append(header)

    for header in headers:
        visit(header)
    return ordered


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane._native._core``."""
    abi = Path(framelane_abi.get_include())
    public = [abi / "framelane" / name for name in ("types.h", "host.h", "transport.h", "port.h")]
    api = in_dependency_order(sorted((SOURCE / "api").glob("*.h")))
    builder = FFI()
    for header in [*public, *api]:
        builder.cdef(declarations(header))
    includes = "\n".join(f'#include "api/{header.name}"' for header in api)
    builder.set_source(
        "framelane._native._core",
        "#include <framelane/types.h>\n#include <framelane/host.h>\n#include <framelane/transport.h>\n"
        "#include <framelane/port.h>\n"
        f"{includes}\n"
        '#pragma GCC diagnostic ignored "-Wextra"\n',
        sources=[os.path.relpath(path, HERE) for path in sorted(SOURCE.rglob("*.c"))],
        include_dirs=[str(abi), os.path.relpath(SOURCE, HERE)],
        extra_compile_args=compile_arguments(),
        extra_link_args=link_arguments(),
        libraries=["m"],
    )
    return builder


class ParallelBuildExt(build_ext):
    """Compiles the sources of an extension on all cores; setuptools does it one after another."""

    def build_extension(self, ext: Any) -> None:
        compile_one = self.compiler.compile

        def compile_all(sources: list[str], **kwargs: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [o for objects in pool.map(lambda s: compile_one([s], **kwargs), sources) for o in objects]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = compile_one
