"""framelane: an Aeron-compatible media driver whose network side is pluggable."""

from typing import TYPE_CHECKING

from framelane.errors import ConfigError, FramelaneError, NativeError, TransportError
from framelane_abi import ABI_VERSION, get_include

if TYPE_CHECKING:
    from framelane.client import Client

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION",
    "Client",
    "ConfigError",
    "FramelaneError",
    "NativeError",
    "TransportError",
    "__version__",
    "get_include",
]

#: Imported when they are asked for: `import framelane` loads nothing native.
_LAZY = {"Client": "framelane.client"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
