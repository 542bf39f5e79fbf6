"""Transport plugins as installed distributions: a module and a dist-info directory on a temporary path."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from framelane.transport.registry import Claim

_serial = itertools.count()

PLUGIN = """
import ctypes, os, signal, sys, time
from framelane.transport import *

{before}

class Settings(TransportSettings):
    port: int = 0
    name: str = "none"

def probe(settings):
{probe}

@hookimpl
def framelane_transport():
    return TransportSpec(name={name!r}, summary="a test", abi_version={abi}, level=Level.PYTHON, settings=Settings,
                         probe=probe, open=lambda settings, context: None)
"""


class Site:
    """A directory of installed distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        name: str,
        probe: str = "return Verdict(usable=True)",
        *,
        before: str = "",
        abi: int = 1,
        distribution: str | None = None,
        version: str = "1.2.3",
        source: str | None = None,
    ) -> Claim:
        """Install a distribution with one transport; ``source`` replaces the whole module."""
        distribution = distribution or f"framelane-{name}"
        module = f"transport_plugin_{next(_serial)}"
        if source is None:
            probe = textwrap.indent(textwrap.dedent(probe), "    ")
            source = PLUGIN.format(before=textwrap.dedent(before), probe=probe, name=name, abi=abi)
        (self.path / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[framelane.transports]\n{name} = {module}\n")
        return Claim(name, module, distribution, version)

    def run(
        self, *arguments: str, environ: dict[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the command ``framelane`` in a process that finds these distributions and no settings of ours."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
        done = subprocess.run(
            [sys.executable, "-c", "from framelane.cli import main; main()", *arguments],
            env={**inherited, "PYTHONPATH": str(self.path), "AERON_DIR": str(self.path / "none"), **(environ or {})},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return an empty site that this process finds too."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Site(path)
