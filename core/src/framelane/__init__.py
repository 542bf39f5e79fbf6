"""framelane: an Aeron-compatible media driver whose network side is pluggable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framelane.errors import ConfigError, FramelaneError, NativeError, TransportError
from framelane_abi import ABI_VERSION, get_include

if TYPE_CHECKING:
    from framelane.driver.media_driver import MediaDriver

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION",
    "ConfigError",
    "FramelaneError",
    "MediaDriver",
    "NativeError",
    "TransportError",
    "__version__",
    "get_include",
]


def __getattr__(name: str) -> object:
    """Load the driver when it is asked for: a plugin that imports this package needs none of it."""
    if name == "MediaDriver":
        from framelane.driver.media_driver import MediaDriver

        return MediaDriver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
