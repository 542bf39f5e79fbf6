"""An interrupt that meets a process of ours while its interpreter still starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import processes_of_session, wait_until

LIMIT_S = 60
MAIN = (sys.executable, "-c", "from framelane.cli import main; main()")
BENCH = ("bench", "throughput", "--seconds", "0.05", "--runs", "1")
DEMO = ("demo", "--size", "1", "--count", "10")

#: Run by every interpreter before anything else: the one with WORD on its command line tells its number, and waits.
SITECUSTOMIZE = """
import os, sys, time
if {word!r} in sys.orig_argv:
    with open({folder!r} + "/started", "a") as file:
        print(os.getpid(), file=file)
    limit = time.monotonic() + 60
    while not os.path.exists({folder!r} + "/go") and time.monotonic() < limit:
        time.sleep(0.01)
"""


def has_pending(process: int, number: int) -> bool:
    """Does a signal wait for its handling? One that nobody can wait for has ended the process, or is about to."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(fields["ShdPnd"], 16) | int(fields["SigPnd"], 16)
    return fields["State"].startswith("Z") or bool(pending & 1 << (number - 1))


def left_behind(command: tuple[str, ...]) -> set[Path]:
    """Return the driver directories of benchmarks, or of demos."""
    return set(Path("/dev/shm").glob(f"framelane-{command[0]}-*"))


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (BENCH, "framelane.cli.framelaned"),
        (BENCH, "framelane.bench.worker"),
        (DEMO, "framelane.cli.framelaned"),
        (DEMO, "subscribe"),
        (DEMO, "publish"),
        (DEMO, "pong"),
        (DEMO, "ping"),
    ],
)
def test_an_interrupt_while_a_child_starts_ends_all_without_a_traceback(
    tmp_path: Path, command: tuple[str, ...], word: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE.format(word=word, folder=str(tmp_path)))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
    started = tmp_path / "started"
    files = left_behind(command)
    process = subprocess.Popen(
        [*MAIN, *command],
        env=inherited | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: started.exists() and started.read_text().endswith("\n"), f"the start of {word}", LIMIT_S)
        child = int(started.read_text().split()[0])
        os.kill(child, signal.SIGINT)
        wait_until(lambda: has_pending(child, signal.SIGINT), "the signal's arrival", LIMIT_S)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.communicate()

    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors
    assert process.returncode == 130
    assert processes_of_session(process.pid) == []
    assert left_behind(command) <= files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_the_imports_of_a_command_ends_it_quietly(tmp_path: Path, number: signal.Signals) -> None:
    # Typer is the first of what a command needs and takes its time.
    (tmp_path / "typer.py").write_text(
        SITECUSTOMIZE.format(word="bench", folder=str(tmp_path))
        + "import importlib\nsys.path.remove(os.path.dirname(__file__))\n"
        + "del sys.modules['typer']\nsys.modules['typer'] = importlib.import_module('typer')\n"
    )
    process = subprocess.Popen(
        [*MAIN, *BENCH], env=os.environ | {"PYTHONPATH": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until((tmp_path / "started").exists, "the import", LIMIT_S)
        process.send_signal(number)
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (130, "")
