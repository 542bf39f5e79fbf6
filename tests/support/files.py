"""Files of known bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

__all__ = ["random_file", "sha256"]


def random_file(path: Path, length: int, seed: int) -> str:
    """Write random bytes; returns their SHA-256."""
    random, digest = Random(seed), hashlib.sha256()
    with path.open("wb") as output:
        while length:
            piece = random.randbytes(min(length, 1 << 20))
            digest.update(piece)
            output.write(piece)
            length -= len(piece)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
