"""The C tests of the data plane: each ``core/c/tests/test_*.c`` is a program that ends with status 0."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import framelane_abi

CORE = Path(__file__).parents[2] / "core" / "c"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
INCLUDES = [f"-I{framelane_abi.get_include()}", f"-I{CORE / 'src'}", f"-I{CORE / 'tests'}"]


def compile_with(*arguments: str | Path) -> None:
    done = subprocess.run(["cc", *FLAGS, *INCLUDES, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The data plane, compiled with warnings as errors."""
    folder = tmp_path_factory.mktemp("objects")

    def build(source: Path) -> Path:
        target = folder / f"{source.relative_to(CORE / 'src')}.o".replace("/", "-")
        compile_with("-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(build, sorted((CORE / "src").rglob("*.c"))))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", sorted((CORE / "tests").glob("test_*.c")), ids=lambda path: path.stem)
def test_c_program_ends_well(source: Path, objects: list[Path], tmp_path: Path) -> None:
    program = tmp_path / source.stem
    compile_with(source, *objects, "-lm", "-o", program)
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
