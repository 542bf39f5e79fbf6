"""The C headers of the frame-transport ABI."""

from pathlib import Path

__all__ = ["ABI_VERSION", "get_include"]

#: Equal to ``FL_ABI_VERSION`` in ``framelane/types.h``; a host refuses a transport built with another one.
ABI_VERSION = 1


def get_include() -> str:
    """Return the directory to put on a C compiler's include path, so that ``<framelane/transport.h>`` is found."""
    return str(Path(__file__).parent / "include")
