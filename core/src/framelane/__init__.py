"""framelane: an Aeron-compatible media driver whose network side is pluggable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from framelane.errors import ConfigError, FramelaneError, NativeError, TransportError
from framelane_abi import ABI_VERSION, get_include

if TYPE_CHECKING:
    from framelane.client import Client
    from framelane.driver.media_driver import MediaDriver

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION",
    "Client",
    "ConfigError",
    "FramelaneError",
    "MediaDriver",
    "NativeError",
    "TransportError",
    "__version__",
    "get_include",
]

_LAZY = {"Client": "framelane.client", "MediaDriver": "framelane.driver.media_driver"}


def __getattr__(name: str) -> object:
    """Load driver and client when they are asked for: a plugin that imports this package needs none of them."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
