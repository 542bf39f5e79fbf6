"""The library in this process: loaded once, with the environment that it then keeps."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane_vma import environment

__all__ = ["Library", "LibraryError", "load", "try_socket"]

_lock = threading.Lock()
_variables: dict[str, str] | None = None  #: that the loaded library has read


class LibraryError(TransportError):
    """The library cannot be used."""


@dataclass(frozen=True)
class Library:
    """What was loaded."""

    path: str
    version: str  #: from the file's name; empty if it has none
    api_mask: int
    has_api: bool
    has_zero_copy: bool
    has_verdict: bool
    is_stand_in: bool


def load(name: str, variables: Mapping[str, str]) -> Library:
    """Set VMA's environment and load the library.

    :raises LibraryError: if it cannot be loaded, is not VMA, or has been loaded with other settings.
    """
    from framelane_vma._native import ffi, lib

    global _variables
    with _lock:
        if _variables is not None and _variables != variables:
            changed = sorted(key for key in {*_variables, *variables} if _variables.get(key) != variables.get(key))
            raise LibraryError(
                f"VMA is loaded in this process and has read its settings: {', '.join(changed)} cannot change; "
                "restart the process"
            )
        if _variables is None:
            environment.apply(variables)
        info = ffi.new("fl_vma_library_info_t *")
        text = ffi.new("char[512]")
        if lib.fl_vma_library_load(name.encode(), info, text, len(text)) != 0:
            raise LibraryError(ffi.string(text).decode(errors="replace"))
        _variables = dict(variables)
    return _described(ffi, info)


def _described(ffi: Any, info: Any) -> Library:
    path = ffi.string(info.path).decode(errors="replace")
    found = re.search(r"\.so\.([0-9.]+)$", Path(path).resolve().name)
    return Library(
        path=path,
        version=found[1] if found else "",
        api_mask=info.api_mask,
        has_api=bool(info.has_api),
        has_zero_copy=bool(info.has_zero_copy),
        has_verdict=bool(info.has_verdict),
        is_stand_in=bool(info.is_stand_in),
    )


def try_socket() -> str:
    """Make a socket with the loaded library and close it. Returns why it cannot; empty if it can."""
    from framelane_vma._native import lib

    code = lib.fl_vma_library_try()
    if code == 0:
        return ""
    return f"its socket() returns -1: {os.strerror(-code)} ({errno.errorcode.get(-code, -code)})"
