"""Builds the VMA transport: one cffi API-mode module, stable ABI."""

from setuptools import setup

setup(
    cffi_modules=["native_build.py:make_ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
