"""The native half, if it was built, and whether it may be used."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["STAND_IN_SWITCH", "StandInError", "load", "refuse_stand_in"]

#: Set by the tests: a stand-in for the vendor's library may be opened.
STAND_IN_SWITCH = "FRAMELANE_ALLOW_STAND_IN"


class StandInError(Exception):
    """The module was built against a stand-in, which is for tests alone."""


def load() -> tuple[Any, Any]:
    """Return ``ffi`` and ``lib``.

    :raises ImportError: if the plugin was built without the SDK, or the module does not load.
    """
    from framelane_efvi._native import ffi, lib

    return ffi, lib


def refuse_stand_in(lib: Any) -> None:
    """Go on only with the vendor's library, or in tests.

    :raises StandInError: otherwise.
    """
    if lib.fl_efvi_is_stand_in() and os.environ.get(STAND_IN_SWITCH) != "1":
        raise StandInError(
            "it was built against a stand-in for Solarflare's library, which moves frames for tests and no others"
        )
