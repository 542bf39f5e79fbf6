"""A stack of control protocols for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.control_stack import ControlStack, build_library


@pytest.fixture(scope="session")
def control_library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_library(tmp_path_factory.mktemp("control"))


@pytest.fixture
def make_stack(control_library: Any) -> Iterator[Callable[..., ControlStack]]:
    """Make a stack with addresses, such as ``make_stack("10.0.0.1/24")``."""
    made: list[ControlStack] = []

    def make(*addresses: str, **settings: Any) -> ControlStack:
        made.append(ControlStack(control_library, addresses, **settings))
        return made[-1]

    yield make
    for stack in made:
        stack.close()
