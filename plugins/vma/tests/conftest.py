"""The stand-in for libvma is built once and loaded once in pytest's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.vma import build_stand_in


@pytest.fixture(scope="session")
def library() -> Path:
    return build_stand_in()
