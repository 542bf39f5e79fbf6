"""The compiled data plane.

``ffi`` and ``lib`` are cffi's; the declarations are those of ``core/c/src/api`` and of the ABI headers.
"""

from framelane._native._core import ffi, lib

__all__ = ["ffi", "lib"]
