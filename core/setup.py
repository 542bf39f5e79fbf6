"""Builds the data plane: one cffi API-mode module, stable ABI, its sources compiled side by side."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))
from native_build import ParallelBuildExt

setup(
    cffi_modules=["native_build.py:make_ffibuilder"],
    cmdclass={"build_ext": ParallelBuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
