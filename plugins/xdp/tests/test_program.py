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


#: Another version makes other instructions.
CLANG = f"clang-{recorded('clang')}"


def test_the_shipped_program_was_made_from_this_source(generate):
    assert recorded("source") == generate.digest(), "run c/bpf/generate.py"


@pytest.mark.programs(CLANG)
def test_the_shipped_program_is_what_clang_makes_of_the_source():
    assert subprocess.run([sys.executable, FOLDER / "generate.py", "--check", "--clang", CLANG]).returncode == 0


@pytest.mark.programs(CLANG)
def test_a_change_of_the_source_is_noticed(tmp_path):
    copy = tmp_path / "bpf"
    shutil.copytree(FOLDER, copy)
    source = copy / "filter.bpf.c"
    source.write_text(source.read_text().replace("5 != ip->ihl", "6 != ip->ihl"))
    done = subprocess.run(
        [sys.executable, copy / "generate.py", "--check", "--clang", CLANG], capture_output=True, text=True
    )
    assert done.returncode == 1 and "does not match" in done.stderr
