"""An interrupt that meets a process of ours while its interpreter still starts, and a parent that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
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


def left_behind(process: int) -> list[Path]:
    """Return the driver directories of a benchmark, or of a demo."""
    return list(Path("/dev/shm").glob(f"framelane-*-{process}-*"))


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
    assert left_behind(process.pid) == []


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


def command_line(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    except FileNotFoundError:
        return []


def takes_interrupts(process: int) -> bool:
    """Has a process got as far as letting SIGTERM in? A driver never does: it waits for it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    blocked = int(dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)["SigBlk"], 16)
    return not blocked & 1 << (signal.SIGTERM - 1)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start commands in sessions of their own, of which nothing is left afterwards."""
    processes = []
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}

    def begin(*command: str, **environment: str) -> subprocess.Popen[bytes]:
        (tmp_path / "scratch").mkdir()
        process = subprocess.Popen(
            [*MAIN, *command],
            env=inherited | {"TMPDIR": str(tmp_path / "scratch")} | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        for one in processes_of_session(process.pid):
            os.kill(one, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("bench", "throughput", "--seconds", "60"), {"framelane.bench.worker"}),
        (("demo", "--size", "1", "--count", "1000000000"), {"framelane.cli.framelaned", "pong", "ping"}),
    ],
)
def test_the_children_of_a_command_that_is_killed_end_and_leave_no_driver_files(begun, command, words) -> None:
    process = begun(*command)

    def are_at_work() -> bool:
        lines = {one: command_line(one) for one in processes_of_session(process.pid) if one != process.pid}
        return words <= {word for line in lines.values() for word in line} and all(
            takes_interrupts(one) for one, line in lines.items() if "framelane.cli.framelaned" not in line
        )

    wait_until(are_at_work, "children at work", LIMIT_S)
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of_session(process.pid), "the end of the children", LIMIT_S)
    left = left_behind(process.pid)
    driver_files = [file for directory in left for file in directory.rglob("cnc.dat")]
    for directory in left:  # where drivers had their directories
        shutil.rmtree(directory)
    assert driver_files == []


@pytest.mark.parametrize("word", ["framelane.cli.framelaned", "subscribe"])
def test_a_child_that_still_starts_when_its_parent_is_killed_ends(begun, tmp_path: Path, word: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE.format(word=word, folder=str(tmp_path)))
    process = begun(*DEMO, PYTHONPATH=str(tmp_path))
    wait_until((tmp_path / "started").exists, f"the start of {word}", LIMIT_S)
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    wait_until(lambda: not processes_of_session(process.pid), "the end of the children", LIMIT_S)
