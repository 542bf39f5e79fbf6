"""Modules of this folder that its tests share are found by their names; fixtures of the cases over the stand-in."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
efvi_port = importlib.import_module("efvi_port")

if TYPE_CHECKING:
    from efvi_port import Adapters, Port

_INTERFACES = ("eth2", "eth3")


@pytest.fixture(scope="session")
def interfaces() -> None:
    """The stand-in's adapters have names that the kernel knows; their frames travel in memory."""
    near, far = _INTERFACES
    subprocess.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far], check=True, timeout=60)
    for name in _INTERFACES:
        subprocess.run(["ip", "link", "set", name, "up"], check=True, timeout=60)


@pytest.fixture
def adapters(interfaces: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapters:  # noqa: ARG001
    return efvi_port.Adapters(tmp_path, monkeypatch)


@pytest.fixture
def open_port(adapters: Adapters) -> Iterator[Callable[..., Port]]:  # noqa: ARG001 - the ports are on them
    opened: list[Port] = []

    def open_one(interface: str, **settings: Any) -> Port:
        opened.append(efvi_port.Port(interface, **settings))
        return opened[-1]

    yield open_one
    for port in opened:
        port.close()


@pytest.fixture(params=efvi_port.MODELS)
def ends(request: pytest.FixtureRequest, adapters: Adapters, open_port: Callable[..., Port]) -> tuple[Port, Port]:
    """A port with a filter for port 4000, and one that sends to it."""
    adapters.describe("eth2", f"model={request.param}")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(efvi_port.ADDRESS, 4000)
    return near, far
