"""Builds the AF_XDP transport: one cffi API-mode module, stable ABI, where the libraries' headers are."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from native_build import missing_headers

missing = missing_headers()
if missing:
    print(f"framelane-xdp: built without its native module: {', '.join(missing)} not found", file=sys.stderr)

setup(
    cffi_modules=[] if missing else ["native_build.py:make_ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
