"""The stand-in for libvma (``tests/vendor/vma``): built into ``build/vendor``, chosen by the environment."""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from pathlib import Path

__all__ = ["FIGURES", "STAND_IN_WORDS", "VARIABLE", "build_stand_in", "figures"]

FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
ROOT = Path(__file__).parents[2]
#: Says what the stand-in is to do; its README has the words.
VARIABLE = "VMA_STAND_IN"
#: For tests within pytest's process, where the stand-in is loaded once and reads them once.
STAND_IN_WORDS = "on,copy_every=5,fragment=9000"
FIGURES = ("held", "held_peak", "zero_copy", "copied", "tx_full", "tx_dropped")


def build_stand_in(name: str = "libvma.so") -> Path:
    """Return the library, built if its sources are newer; one process at a time."""
    source = ROOT / "tests/vendor/vma"
    built = ROOT / "build/vendor" / name
    built.parent.mkdir(parents=True, exist_ok=True)
    with (built.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(path.stat().st_mtime for path in source.iterdir())
        if not built.exists() or built.stat().st_mtime < newest:
            fresh = built.with_suffix(".new")
            command = [
                os.environ.get("CC", "cc"),
                *FLAGS,
                *WARNINGS,
                "-o",
                str(fresh),
                *map(str, sorted(source.glob("*.c"))),
            ]
            subprocess.run(command, check=True, timeout=100)
            fresh.replace(built)
    return built


def figures(library: Path) -> dict[str, int]:
    """Return what the stand-in that this process has loaded counted."""
    values = (ctypes.c_uint64 * len(FIGURES))()
    ctypes.CDLL(str(library)).fl_vma_stand_in(values)
    return dict(zip(FIGURES, values, strict=True))
