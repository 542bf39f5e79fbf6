"""The file that ``AERON_EF_VI_CONF_FILE`` names.

The premium driver's format is not published, so no more is promised than this: a line is ``KEY=VALUE``, empty, or a
comment behind ``#``; a key is one of ``[transport.efvi]`` or of ef_vi's environment. Every other line is an error.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from framelane.transport.names import nearest

__all__ = ["read_conf_file"]

#: Names of the library's environment that stand for a setting.
_LIBRARY_NAMES = {
    "ef_vi_rxq_size": "rx_queue_size",
    "ef_vi_txq_size": "tx_queue_size",
    "ef_vi_evq_size": "event_queue_size",
}
_LISTS = frozenset({"vi_flags"})


def read_conf_file(path: Path, known: Collection[str]) -> dict[str, object]:
    """Return the settings in the file, as text.

    :param known: names of settings.
    :raises ValueError: if it cannot be read, or lines of it are not understood; each is named.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    found: dict[str, object] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        name = _LIBRARY_NAMES.get(key.lower(), key.lower())
        if not equals or name not in known or name == "conf_file":
            problems.append(f"line {number}: {text!r}{nearest(key, [*known, *_LIBRARY_NAMES])}")
        else:
            found[name] = [one.strip() for one in value.split(",") if one.strip()] if name in _LISTS else value
    if problems:
        raise ValueError(f"{path}: not understood, KEY=VALUE of [transport.efvi] is expected: {'; '.join(problems)}")
    return found
