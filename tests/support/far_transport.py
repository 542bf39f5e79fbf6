"""Transports of a conformance pair's far end, opened in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from framelane.testing import RemoteStation
from framelane.transport.native import OpenTransport, open_transport

__all__ = ["open_far", "open_plugin", "start_far"]

_VARIABLE = "FAR_TRANSPORT"


def open_plugin(name: str, settings: Mapping[str, Any]) -> OpenTransport:
    """Open a transport of the plugin ``framelane_NAME``."""
    spec = importlib.import_module(f"framelane_{name}.plugin").framelane_transport()
    return open_transport(spec, spec.settings(**settings))


def start_far(name: str, settings: Mapping[str, Any], prefix: Sequence[str] = ()) -> RemoteStation:
    """Start a child process whose station is on a transport of the plugin ``framelane_NAME``.

    :param prefix: put before the child's command line.
    """
    described = json.dumps({"name": name, "settings": dict(settings)})
    environment = (f"PYTHONPATH={Path(__file__).parents[1]}", f"{_VARIABLE}={described}")
    return RemoteStation("support.far_transport:open_far", ("env", *environment, *prefix))


def open_far() -> OpenTransport:
    """Open what :func:`start_far` described; called in the child."""
    described = json.loads(os.environ[_VARIABLE])
    return open_plugin(described["name"], described["settings"])
