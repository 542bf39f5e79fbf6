"""How the data plane is compiled; the environment's part in it is that of :mod:`framelane_abi.build`.

The headers in ``c/src/api`` are the whole surface that Python sees. They are written in the subset of C that cffi
parses, so one declaration serves the C sources and the bindings, and a wrong one fails the build.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cffi import FFI
from setuptools.command.build_ext import build_ext

from framelane_abi.build import compile_arguments, describe_module, link_arguments

HERE = Path(__file__).resolve().parent


def make_ffibuilder() -> FFI:
    """Return the builder of ``framelane._native._core``."""
    own = [f"api/{path.name}" for path in sorted((HERE / "c/src/api").glob("*.h"))]
    builder = FFI()
    describe_module(
        builder,
        "framelane._native._core",
        HERE,
        ["framelane/port.h", *own],
        folder="c/src",
        sources="**/*.c",
        compile_args=[*compile_arguments(), "-pthread"],
        link_args=["-pthread", *link_arguments()],
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
