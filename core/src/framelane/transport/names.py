"""Names of transports: which are known, which are allowed, which was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["DEFAULT_ORDER", "DEVICE_TRANSPORTS", "RESERVED_NAMES", "is_name", "nearest"]

#: Tried in this order, among what is installed, unless ``transport.use`` says otherwise.
DEFAULT_ORDER = ("efvi", "dpdk", "xdp", "vma", "sockets")

#: Considered only if they were configured or their hardware is present.
DEVICE_TRANSPORTS = frozenset({"efvi", "dpdk", "xdp", "vma"})

#: Keys of the ``[transport]`` table beside the tables of the transports, so no transport may be called so.
RESERVED_NAMES = frozenset({"use", "require", "rules"})


def is_name(text: str) -> bool:
    """Return whether a transport may be called so: lower case letters, digits, hyphens, beginning with a letter."""
    return re.fullmatch(r"[a-z][a-z0-9-]*", text) is not None


def nearest(text: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the candidate most like a mistyped name, or nothing if none is like it."""
    by_lower_case = {candidate.lower(): candidate for candidate in sorted(candidates)}
    found = difflib.get_close_matches(text.lower(), list(by_lower_case), n=1, cutoff=0.6)
    return f"; did you mean {by_lower_case[found[0]]}?" if found else ""
