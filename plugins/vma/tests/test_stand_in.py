"""The stand-in for libvma finds what a plugin may do wrong, and is of no use outside tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.vma import VARIABLE

#: Receives one packet without copying, as C does, and then misbehaves.
PROGRAM = """
import ctypes, socket, struct, sys
vma = ctypes.CDLL(sys.argv[1])
fd = vma.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
if fd < 0:
    sys.exit("socket() returned -1")
name = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes([127, 0, 0, 1]))
assert vma.bind(fd, name, 16) == 0
bound = ctypes.create_string_buffer(16)
assert vma.getsockname(fd, bound, ctypes.byref(ctypes.c_int(16))) == 0
assert vma.sendto(fd, b"packet", 6, 0, bound, 16) == 6
api, length = ctypes.c_void_p(), ctypes.c_int(8)
assert vma.getsockopt(-1, socket.SOL_SOCKET, 2800, ctypes.byref(api), ctypes.byref(length)) == 0
entries = ctypes.cast(api, ctypes.POINTER(ctypes.c_void_p))
receive = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
                           ctypes.c_void_p, ctypes.c_void_p)(entries[1])
free = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)(entries[2])
buffer, flags = ctypes.create_string_buffer(100), ctypes.c_int(0)
assert receive(fd, buffer, 100, ctypes.byref(flags), None, None) == 6 and flags.value & 0x40000
count, packet, pieces, data, data_length = struct.unpack_from("=5Q", buffer)
assert (count, pieces, ctypes.string_at(data, data_length)) == (1, 1, b"packet")
release = lambda: free(fd, ctypes.addressof(buffer) + 8, 1)
"""


def run(library: Path, misuse: str, words: str = "on") -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment |= {VARIABLE: words} if words else {}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + misuse, library],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("misuse", "told"),
    [
        ("release(); ctypes.string_at(data, 6)", "was used after free_packets"),
        ("ctypes.memmove(data, b'x', 1)", "was written to, and can be read only"),
        ("release(); release()", "was freed twice"),
        ("vma.close(fd)", "was closed with 1 packets held"),
        ("free(fd, ctypes.addressof(ctypes.create_string_buffer(64)), 1)", "which is no packet"),
    ],
    ids=["read after free", "write", "double free", "close while held", "no packet"],
)
def test_misuse_ends_the_process_with_a_text(library: Path, misuse: str, told: str) -> None:
    done = run(library, misuse)
    assert done.returncode == -6, done.stderr  # SIGABRT
    assert told in done.stderr


def test_what_is_given_back_once_and_then_closed_is_in_order(library: Path) -> None:
    done = run(library, "assert release() == 0; assert vma.close(fd) == 0")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_makes_no_socket_outside_tests(library: Path) -> None:
    done = run(library, "", words="")
    assert done.returncode == 1
    assert "this is for framelane's tests" in done.stderr
    assert "socket() returned -1" in done.stderr
