"""Kinds of setting values: how text becomes a value, which range it has, how it is shown (``shm`` 10.1).

Text from every source is parsed alike. What does not parse raises ``ValueError``, where the stock driver warns and
keeps its default; what parses is clamped into its range, as there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "GIB",
    "INT32_MAX",
    "INT64_MAX",
    "KIB",
    "MIB",
    "MILLISECOND",
    "SECOND",
    "Choice",
    "Duration",
    "FilePath",
    "Flag",
    "Integer",
    "Kind",
    "Milliseconds",
    "PortRange",
    "Size",
    "Text",
]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB}
_DURATION_UNITS = {"": 1, "ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND}


@dataclass(frozen=True)
class Kind:
    """What a setting's value may be. Stands in the annotation of a model's field."""

    @property
    def name(self) -> str:
        """The kind's name, for documentation."""
        return type(self).__name__.lower()

    @property
    def accepts(self) -> str:
        """The accepted range, for documentation; empty if there is none."""
        return ""

    def parse(self, raw: object) -> Any:
        """Return the value of text, or of a number or truth value from TOML.

        :raises ValueError: saying what was expected.
        """
        raise NotImplementedError

    def clamp(self, value: Any) -> Any:
        """Return the value moved into the accepted range."""
        return value

    def show(self, value: Any) -> str:
        """Return text that parses to the value."""
        return "" if value is None else str(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let a model's constructor take text as the configuration does; other values are final, and in range."""

        def convert(raw: object) -> Any:
            value = self.parse(raw) if isinstance(raw, str) else raw
            if isinstance(value, int) and self.clamp(value) != value:
                raise ValueError(f"is outside {self.accepts}")
            return value

        return core_schema.no_info_before_validator_function(convert, handler(source))


@dataclass(frozen=True)
class Flag(Kind):
    """True or false, by how the text begins."""

    def parse(self, raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        text = str(raw).lower() if isinstance(raw, str | int) else ""
        if text.startswith(("1", "on", "true")):
            return True
        if text.startswith(("0", "off", "false")):
            return False
        raise ValueError("expected true, on or 1, or false, off or 0")

    def show(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number."""

    minimum: int
    maximum: int

    @property
    def accepts(self) -> str:
        return f"{self.show(self.minimum)} to {self.show(self.maximum)}"

    def parse(self, raw: object) -> int:
        if isinstance(raw, int) and not isinstance(raw, bool):
            return raw
        if not isinstance(raw, str) or re.fullmatch(r"[+-]?[0-9]{1,30}", raw.strip()) is None:
            raise ValueError("expected a whole number")
        return int(raw)

    def clamp(self, value: Any) -> Any:
        return min(max(value, self.minimum), self.maximum)


@dataclass(frozen=True)
class Size(Integer):
    """Bytes: decimal, with k, m or g for powers of 1024."""

    def parse(self, raw: object) -> int:
        return _scaled(raw, _SIZE_UNITS, "expected a size: decimal digits, then k, m, g or nothing")

    def show(self, value: Any) -> str:
        return _unscaled(value, _SIZE_UNITS)


@dataclass(frozen=True)
class Duration(Integer):
    """Nanoseconds: decimal, with s, ms, us or ns; without a unit they are nanoseconds."""

    minimum: int = 0
    maximum: int = INT64_MAX
    #: A positive value below this becomes this.
    least_positive: int = 0

    @property
    def accepts(self) -> str:
        range_text = f"{self.show(self.minimum)} and more"
        if self.least_positive:
            range_text += f"; positive values are at least {self.show(self.least_positive)}"
        return range_text

    def parse(self, raw: object) -> int:
        return _scaled(raw, _DURATION_UNITS, "expected a duration: decimal digits, then s, ms, us, ns or nothing")

    def clamp(self, value: Any) -> Any:
        if 0 < value < self.least_positive:
            return self.least_positive
        return super().clamp(value)

    def show(self, value: Any) -> str:
        return _unscaled(value, _DURATION_UNITS) if value != INT64_MAX else str(INT64_MAX)


@dataclass(frozen=True)
class Milliseconds(Duration):
    """A duration whose bare digits are milliseconds. The value is in nanoseconds like every other."""

    def parse(self, raw: object) -> int:
        if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
            return raw * MILLISECOND
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,30}", raw.strip()):
            return int(raw) * MILLISECOND
        return super().parse(raw)


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words, in any case."""

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return "word"

    @property
    def accepts(self) -> str:
        return ", ".join(self.words)

    def parse(self, raw: object) -> str:
        text = _word(raw)
        for word in self.words:
            if word.lower() == text.lower():
                return word
        raise ValueError(f"expected one of {self.accepts}")


@dataclass(frozen=True)
class Text(Kind):
    """Any text; empty text is none."""

    def parse(self, raw: object) -> str | None:
        if not isinstance(raw, str | int | float) or isinstance(raw, bool):
            raise ValueError("expected text")
        return str(raw) or None


@dataclass(frozen=True)
class FilePath(Kind):
    """A path; at most 4095 bytes."""

    @property
    def name(self) -> str:
        return "path"

    def parse(self, raw: object) -> Path:
        if not isinstance(raw, str | Path) or not str(raw) or "\0" in str(raw) or len(str(raw).encode()) > 4095:
            raise ValueError("expected a path of 1 to 4095 bytes")
        return Path(raw)


@dataclass(frozen=True)
class PortRange(Kind):
    """Two ports, "low high"; "0 0" leaves the choice to the system (``wire`` 5.6)."""

    @property
    def name(self) -> str:
        return "ports"

    def parse(self, raw: object) -> tuple[int, int]:
        match = re.fullmatch(r"\s*([0-9]{1,5})\s+([0-9]{1,5})\s*", raw) if isinstance(raw, str) else None
        if match is None or not int(match[1]) <= int(match[2]) <= 65535:
            raise ValueError('expected two ports "low high", each 0 to 65535, low not above high')
        return int(match[1]), int(match[2])

    def show(self, value: Any) -> str:
        return f"{value[0]} {value[1]}"


def _word(raw: object) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return str(raw).strip()


def _scaled(raw: object, units: dict[str, int], expected: str) -> int:
    """Return digits times their unit. A number without text around it is in the smallest unit."""
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    match = re.fullmatch(r"([0-9]{1,30})([a-zA-Z]{0,2})", raw.strip()) if isinstance(raw, str) else None
    if match is None or match[2].lower() not in units:
        raise ValueError(expected)
    return int(match[1]) * units[match[2].lower()]


def _unscaled(value: int | None, units: dict[str, int]) -> str:
    """Return a value in the largest unit that divides it."""
    if not value:
        return "" if value is None else "0"
    unit, factor = max(((u, f) for u, f in units.items() if value % f == 0), key=lambda item: (item[1], item[0]))
    return f"{value // factor}{unit}"
