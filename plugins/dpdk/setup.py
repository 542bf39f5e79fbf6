"""Builds the DPDK transport: one cffi API-mode module, stable ABI; without DPDK's headers, the Python half alone.

That half then says, as the transport's obstacle, what is missing and how to install again.
"""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from native_build import why_not

reason = why_not()
if reason is None:
    setup(
        cffi_modules=["native_build.py:make_ffibuilder"],
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
else:
    print(f"framelane-dpdk: installed without its native module: {reason}", file=sys.stderr)
    setup()
