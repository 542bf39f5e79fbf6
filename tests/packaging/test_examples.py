"""Out-of-tree plugins work: everything is built from source distributions with build isolation, installed into a clean
virtual environment, and the examples pass the conformance kit there."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: In the order in which they need each other to build.
DISTRIBUTIONS = ["core/abi", "plugins/sockets", "core", "examples/framelane-queue", "examples/framelane-udp-minimal"]
NOT_SOURCE = shutil.ignore_patterns(
    "build", "dist", "*.so", "*.egg-info", "__pycache__", ".*_cache", "_core.c", "_native.c"
)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command, away from this tree's environment; its output is the failure's message."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a source distribution and a wheel of each distribution, the wheel made of the former."""
    sources, dist = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for path in DISTRIBUTIONS:
        copy = sources / path.replace("/", "-")
        shutil.copytree(ROOT / path, copy, ignore=NOT_SOURCE)
        run(
            sys.executable,
            "-m",
            "build",
            "--outdir",
            dist,
            copy,
            cwd=sources,
            PIP_FIND_LINKS=str(dist),
            FRAMELANE_SANITIZE="debug",
        )
    return dist


@pytest.fixture(scope="module")
def python(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with both examples and what they need."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=True)
    python = home / "bin/python"
    names = ["framelane[testing]", "framelane-queue", "framelane-udp-minimal"]
    run(python, "-m", "pip", "install", "--find-links", wheels, *names, cwd=home)
    return python


@pytest.mark.packaging
@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", ["framelane-queue", "framelane-udp-minimal"])
def test_an_example_passes_the_kit_in_a_clean_environment(python: Path, tmp_path: Path, example: str) -> None:
    shutil.copytree(ROOT / "examples" / example / "tests", tmp_path / "tests", ignore=NOT_SOURCE)
    output = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)
    assert "passed" in output
    assert "skipped" not in output


@pytest.mark.packaging
@pytest.mark.timeout(900)
def test_examples_are_found_by_their_entry_points(python: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.metadata import entry_points\n"
        "for point in sorted(entry_points(group='framelane.transports')):\n"
        "    spec = getattr(point.load(), 'framelane_transport')()\n"
        "    print(spec.name, spec.level, spec.probe(spec.settings()).usable)\n"
    )
    output = run(python, "-c", program, cwd=tmp_path)
    assert output.split("\n")[:3] == ["queue python True", "sockets datagram True", "udp-minimal datagram True"]
