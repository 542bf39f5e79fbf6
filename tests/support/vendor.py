"""Stand-ins for vendors' libraries, built when a test first needs one."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

__all__ = ["build_ciul"]

_ROOT = Path(__file__).parents[2]


def build_ciul(sanitize: str | None = None) -> Path:
    """Build the stand-in for libciul and return the folder with its ``include`` and ``lib/libciul1.a``.

    :param sanitize: what ``-fsanitize`` takes, such as ``address,undefined``; such a build has a folder of its own.
    """
    folder = _ROOT / "build" / "vendor" / ("ciul" if sanitize is None else f"ciul-{sanitize.replace(',', '-')}")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["make", "-s", "-C", str(_ROOT / "tests" / "vendor" / "ciul"), f"DEST={folder}"]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            command + ([] if sanitize is None else [f"SANITIZE={sanitize}"]),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return folder
