"""Where the driver directory is when nobody says (shm 1.1). Loads nothing native."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

__all__ = ["default_directory"]


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory that driver and clients agree on without being told."""
    user = environ.get("USER")
    if not user:
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            user = "default"
    return Path(f"/dev/shm/aeron-{user}")
