"""Stand-ins for vendors' libraries (``tests/vendor``): built into ``build/vendor``, told what to do by variables of the
environment."""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FIGURES", "STAND_IN_WORDS", "VARIABLE", "build_preload", "build_stand_in", "figures"]

FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-shared", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "tests/vendor"
#: Says what the stand-in is to do; its README has the words.
VARIABLE = "VMA_STAND_IN"
#: For tests within pytest's process, where the stand-in is loaded once and reads them once.
STAND_IN_WORDS = "on,copy_every=5,fragment=9000"
FIGURES = ("held", "held_peak", "zero_copy", "copied", "tx_full", "tx_dropped")


def build_stand_in() -> Path:
    """Return the stand-in for libvma."""
    return _build(
        "libvma.so", sorted((VENDOR / "vma").rglob("*.[ch]")), ["-fvisibility=hidden", f"-I{VENDOR / 'vma/include'}"]
    )


def build_preload(name: str) -> Path:
    """Return the stand-in for an accelerator to preload: ``vma``, ``onload`` or ``xlio``."""
    return build_stand_in() if name == "vma" else _build(f"lib{name}.so", [VENDOR / "preload" / f"{name}.c"])


def _build(name: str, sources: Sequence[Path], flags: Sequence[str] = ()) -> Path:
    """Return a library of ``build/vendor``, made anew if a source is newer; one process at a time."""
    built = ROOT / "build/vendor" / name
    built.parent.mkdir(parents=True, exist_ok=True)
    with (built.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists() or built.stat().st_mtime < max(path.stat().st_mtime for path in sources):
            fresh = built.with_suffix(".new")
            files = [str(path) for path in sources if path.suffix == ".c"]
            command = [os.environ.get("CC", "cc"), *FLAGS, *WARNINGS, *flags, "-o", str(fresh), *files]
            subprocess.run(command, check=True, timeout=100)
            fresh.replace(built)
    return built


def figures(library: Path) -> dict[str, int]:
    """Return what the stand-in that this process has loaded counted."""
    values = (ctypes.c_uint64 * len(FIGURES))()
    ctypes.CDLL(str(library)).fl_vma_stand_in(values)
    return dict(zip(FIGURES, values, strict=True))
