"""A virtual environment of its own for a plugin that is built against a stand-in, ``build/vendor``.

``.venv`` never holds such a build: there ``framelane transports`` goes on saying what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from support.vendor import build_ciul

__all__ = ["ALLOWED", "efvi_python", "run_cases"]

_ROOT = Path(__file__).parents[2]
_BUILD = _ROOT / "build/vendor"
_STAND_IN = _ROOT / "tests/vendor/ciul"
_PLUGIN = _ROOT / "plugins/efvi/src/framelane_efvi"
_ABI = _ROOT / "core/abi/src"

#: Of the environment: a plugin may open a stand-in.
ALLOWED = {"FRAMELANE_ALLOW_STAND_IN": "1"}


def efvi_python() -> Path:
    """Return the interpreter of an environment whose ``framelane_efvi`` is built against the stand-in for libciul.

    It is built once, and again when a source of either changes; everything else is that of the calling interpreter.
    """
    home = _BUILD / "efvi"
    python = home / "bin/python"
    stamp = home / "built-from"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "efvi.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = _digest(_STAND_IN, _PLUGIN, _ABI)
        if not stamp.is_file() or stamp.read_text() != sources:
            shutil.rmtree(home, ignore_errors=True)
            _build(home, python)
            stamp.write_text(sources)
    return python


def _digest(*folders: Path) -> str:
    total = hashlib.sha256(sys.version.encode())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".c", ".h", ".py"):
                total.update(f"{path}\0".encode() + path.read_bytes())
    return total.hexdigest()


def _build(home: Path, python: Path) -> None:
    venv.create(home, symlinks=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = home / "lib" / version / "site-packages"
    # What else this interpreter has, editable distributions included, behind the plugin of this environment.
    (packages / "behind.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    shutil.copytree(_PLUGIN, packages / "framelane_efvi", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sdk = build_ciul()
    build = [python, "-m", "framelane", "efvi", "build", "--include", sdk / "include"]
    _run([*build, "--library", sdk / "lib/libciul1.a"], FRAMELANE_WERROR="1")


def _run(command: Iterable[str | Path], **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in command], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"


def run_cases(
    cases: Iterable[Path], environment: Mapping[str, str], *, prefix: Sequence[str] = (), arguments: Sequence[str] = ()
) -> None:
    """Run files of tests with that interpreter; all of them have to pass, and none may be skipped.

    :param prefix: put before the command line.
    :param arguments: for pytest.
    """
    command = [*prefix, str(efvi_python()), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments, *map(str, cases)],
        env=os.environ | ALLOWED | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout
