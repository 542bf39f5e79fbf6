"""framelane: an Aeron-compatible media driver whose network side is pluggable."""

from framelane.errors import ConfigError, FramelaneError, NativeError, TransportError
from framelane_abi import ABI_VERSION, get_include

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION",
    "ConfigError",
    "FramelaneError",
    "NativeError",
    "TransportError",
    "__version__",
    "get_include",
]
