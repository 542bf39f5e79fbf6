"""What a process finds that has an accelerator preloaded; run as a program, in a process of its own.

``python -m framelane.preload.check NAME LIBRARY`` prints a JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from dataclasses import asdict, dataclass

from framelane.preload.accelerators import ACCELERATORS, loaded_library

__all__ = ["Check", "look"]

#: getsockopt(DESCRIPTOR, SOL_SOCKET, 2800) answers with the address of the extra API (bypass-apis 3.4, 3.8).
_GET_API = 2800
_VMA_DESCRIPTOR = -1
_XLIO_DESCRIPTOR = -2
_XLIO_MAGIC = 0x4F494C584144564E


@dataclass(frozen=True)
class Check:
    """What was found."""

    library: str | None  #: the file that is loaded; ``None``: the dynamic linker has not taken it
    socket_error: str  #: why no UDP socket can be made; empty if one can
    answers: bool  #: the accelerator answers to its own interface


def look(name: str, library: str) -> Check:
    """Make a socket and ask the accelerator for its interface. In the process that has it preloaded."""
    loaded = loaded_library(ACCELERATORS[name], library)
    error = ""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind(("127.0.0.1", 0))
    except OSError as failed:
        error = failed.strerror or os.strerror(failed.errno or 0)
    return Check(loaded, error, _answers(name))


def _answers(name: str) -> bool:
    process = ctypes.CDLL(None)
    if name == "onload":
        return hasattr(process, "onload_fd_stat")
    api, length = ctypes.c_void_p(), ctypes.c_uint32(ctypes.sizeof(ctypes.c_void_p))
    descriptor = _XLIO_DESCRIPTOR if name == "xlio" else _VMA_DESCRIPTOR
    status = process.getsockopt(descriptor, socket.SOL_SOCKET, _GET_API, ctypes.byref(api), ctypes.byref(length))
    if status != 0 or not api.value:
        return False
    return name != "xlio" or struct.unpack("=Q", ctypes.string_at(api.value, 8)) == (_XLIO_MAGIC,)


if __name__ == "__main__":
    print(json.dumps(asdict(look(*sys.argv[1:3]))))
