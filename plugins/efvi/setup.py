"""Builds the ef_vi transport: one cffi API-mode module, stable ABI, libciul linked statically, where its SDK is."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from framelane_efvi.build import SdkNotFoundError, find_sdk

modules = ["native_build.py:make_ffibuilder"]
try:
    find_sdk()
except SdkNotFoundError as error:
    modules = []
    print(f"framelane-efvi: built without its native module: {error}", file=sys.stderr)

setup(cffi_modules=modules, options={"bdist_wheel": {"py_limited_api": "cp311"}})
