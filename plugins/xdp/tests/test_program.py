"""The shipped program is its source, compiled."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "c" / "bpf"


@pytest.fixture
def generate():
    specification = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def recorded(field):
    return re.search(rf"^ \* {field}: (\S+)$", (FOLDER / "program.h").read_text(), re.MULTILINE)[1]


def test_the_shipped_program_was_made_from_this_source(generate):
    assert recorded("source") == generate.digest(), "run c/bpf/generate.py"


def test_the_shipped_program_is_what_clang_makes_of_the_source():
    clang = f"clang-{recorded('clang')}"
    if shutil.which(clang) is None:
        pytest.skip(f"{clang} is not installed, and another version gives other instructions")
    assert subprocess.run([sys.executable, FOLDER / "generate.py", "--check", "--clang", clang]).returncode == 0


def test_a_change_of_the_source_is_noticed(tmp_path):
    copy = tmp_path / "bpf"
    shutil.copytree(FOLDER, copy)
    source = copy / "filter.bpf.c"
    source.write_text(source.read_text().replace("5 != ip->ihl", "6 != ip->ihl"))
    clang = f"clang-{recorded('clang')}"
    if shutil.which(clang) is None:
        pytest.skip(f"{clang} is not installed")
    done = subprocess.run(
        [sys.executable, copy / "generate.py", "--check", "--clang", clang], capture_output=True, text=True
    )
    assert done.returncode == 1 and "does not match" in done.stderr
