"""``PEERS`` names the folder of the stock programs, release 1.52, in the folder of their build."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def peers() -> Path:
    folder = Path(os.environ.get("PEERS", ""))
    if not (folder / "aeronmd").exists():
        pytest.skip("PEERS does not name a folder with aeronmd")
    return folder


@pytest.fixture(scope="session")
def stock_view(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``stock_view.c``, built with the stock C client: its library beside the programs, its headers where CMake was."""
    build = peers.parent
    name = "CMAKE_HOME_DIRECTORY:INTERNAL="
    lines = (build / "CMakeCache.txt").read_text().splitlines()
    (source,) = (line.removeprefix(name) for line in lines if line.startswith(name))
    program = tmp_path_factory.mktemp("interop") / "stock_view"
    command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", Path(__file__).with_name("stock_view.c")]
    command += ["-I", Path(source, "aeron-client/src/main/c"), "-o", program]
    command += ["-L", build / "lib", "-laeron", f"-Wl,-rpath,{build / 'lib'}"]
    subprocess.run(command, check=True, timeout=60)
    return program
