"""``framelaned`` as an operator meets it: processes, signals, exit codes, files and messages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from framelane.client import Client
from framelane.shm.cnc import CNC_FILE, CncFile
from framelane.shm.counter_types import CounterType
from support.drivers import start_driver
from support.processes import wait_until

FRAMELANED = (sys.executable, "-m", "framelane.cli.framelaned")
LIMIT_S = 60.0
#: Without these a driver maps more than the smallest machines like to give.
SMALL = {"AERON_COUNTERS_BUFFER_LENGTH": "1m", "AERON_TERM_BUFFER_LENGTH": "64k"}


def environment(directory, settings=None):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
    return {**inherited, "AERON_DIR": str(directory), **SMALL, **(settings or {})}


class Daemon:
    """One process."""

    def __init__(self, directory, *arguments, settings=None):
        self.directory = directory
        self.process = subprocess.Popen(
            [*FRAMELANED, *arguments],
            env=environment(directory, settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def is_ready(self):
        assert self.process.poll() is None, self.process.communicate()
        try:
            with (self.directory / CNC_FILE).open("rb") as file:
                metadata = file.read(56)
        except FileNotFoundError:
            return False
        # The version, and this process in place of one that left its file (shm 2.1).
        return metadata[:4] == (512).to_bytes(4, "little") and metadata[40:48] == self.process.pid.to_bytes(8, "little")

    def wait_ready(self):
        wait_until(self.is_ready, "a driver that is ready")
        return self

    def end(self, number=signal.SIGTERM):
        """Send a signal; returns exit code, standard output and standard error."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, output, errors


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*arguments, directory=tmp_path / "aeron", settings=None):
        started.append(Daemon(directory, *arguments, settings=settings))
        return started[-1]

    yield start
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.communicate()


def fail(directory, *arguments, settings=None):
    """Run to a failing end; returns the exit code and the message."""
    done = subprocess.run(
        [*FRAMELANED, *arguments],
        env=environment(directory, settings),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert not done.stdout
    return done.returncode, done.stderr


def heartbeat_ms(directory):
    with CncFile.map(directory / CNC_FILE, writable=False) as cnc:
        cnc.find_sections()
        return cnc.to_driver().heartbeat_ms()


def values(directory):
    with CncFile.map(directory / CNC_FILE, writable=False) as cnc:
        return cnc.metadata.to_driver_buffer_length, cnc.metadata.client_liveness_timeout_ns


# ---- life ----


def test_it_needs_no_argument_is_quiet_and_ready_within_a_second(start):
    took = []
    for _ in range(3):  # the best of three: other processes of a busy machine are not what is measured
        began = time.monotonic()
        daemon = start().wait_ready()
        took.append(time.monotonic() - began)
        assert daemon.end() == (0, "", "")
    assert min(took) < 1.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_a_closed_heartbeat_and_its_files_in_place(start, number):
    daemon = start().wait_ready()
    assert heartbeat_ms(daemon.directory) > 0

    assert daemon.end(number) == (0, "", "")

    assert heartbeat_ms(daemon.directory) == -1


def test_it_removes_its_directory_if_asked(start):
    daemon = start("-Daeron.dir.delete.on.shutdown=true").wait_ready()
    assert daemon.end() == (0, "", "")
    assert not daemon.directory.exists()


def test_a_signal_while_it_starts_ends_it_in_order(start):
    daemon = start("-Daeron.dir.delete.on.shutdown=true")
    wait_until(lambda: daemon.directory.exists(), "the driver directory")
    assert daemon.end() == (0, "", "")
    assert not daemon.directory.exists()


def test_a_client_is_told_of_the_end(start):
    daemon = start().wait_ready()
    ended = []
    with Client(daemon.directory, on_close=ended.append, on_error=lambda error: None) as client:
        subscription = client.add_subscription("aeron:udp?endpoint=127.0.0.1:0", 7)
        publication = client.add_publication("aeron:ipc", 7)
        assert not subscription.is_connected and not publication.is_closed

        assert daemon.end() == (0, "", "")

        wait_until(lambda: client.is_closed, "a client that knows")
    assert ended


def test_a_client_may_end_it_only_if_the_validator_allows(start):
    from framelane.protocol.commands import TerminateDriver
    from framelane.testing.simulation import CommandClient, RealDriver

    for validator, ends in (("deny", False), ("allow", True)):
        daemon = start(f"-Daeron.driver.termination.validator={validator}").wait_ready()
        client = CommandClient(RealDriver(daemon.directory))
        try:
            client.send(TerminateDriver, token=b"")
            if ends:
                assert daemon.process.wait(LIMIT_S) == 0
            else:
                with Client(daemon.directory) as other:  # answered after the request was
                    other.add_counter(1234, "answered")
                assert daemon.end()[0] == 0
        finally:
            client.detach()


def test_a_killed_driver_is_replaced_and_its_errors_are_kept(start):
    quick = "-Daeron.driver.timeout=100ms"
    first = start(quick).wait_ready()
    with Client(first.directory) as client, pytest.raises(Exception, match="endpoint"):
        client.add_subscription("aeron:udp?endpoint=nowhere", 7)
    first.end(signal.SIGKILL)
    wait_until(lambda: time.time() * 1000 - heartbeat_ms(first.directory) > 200, "a heartbeat that is too old")

    second = start(quick).wait_ready()

    code, output, warnings = second.end()
    assert (code, output) == (0, "")
    assert "existing errors saved to" in warnings
    (saved,) = first.directory.parent.glob("aeron-*-error.log")
    assert "nowhere" in saved.read_text()


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_service_manager_is_told_when_it_is_ready_and_when_it_stops(start, tmp_path, is_abstract):
    name = f"@framelane-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(name.replace("@", "\0", 1))
        notify.settimeout(LIMIT_S)
        daemon = start(settings={"NOTIFY_SOCKET": name})
        assert notify.recv(100) == b"READY=1"
        assert daemon.is_ready()
        assert daemon.end() == (0, "", "")
        assert notify.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("program", ["framelaned", "framelane"])
def test_a_device_that_cannot_be_used_is_told_on_standard_error_at_the_start(processes, tmp_path, program):
    command = [program] if program == "framelaned" else [program, "driver"]
    driver = start_driver(
        processes,
        tmp_path / "aeron",
        program=[str(Path(sys.executable).with_name(command[0])), *command[1:]],
        settings=SMALL | {"FRAMELANE_TRANSPORT_DPDK_DEVICE": "nosuch0"},
    )
    driver.stop()
    (line,) = [one for one in driver.process.output.splitlines() if "WARNING" in one]
    assert line.startswith(f"{program}: WARNING: transport not usable transport='dpdk' why=")
    assert "is not, and was not, an interface of this machine" in line


# ---- arguments ----


def test_help_and_version_are_printed(tmp_path):
    for argument, expected in (("-h", "usage: framelaned"), ("-v", "framelaned 0.")):
        done = subprocess.run([*FRAMELANED, argument], capture_output=True, text=True, timeout=LIMIT_S)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout


def test_property_files_definitions_and_environment_are_taken_and_later_ones_win(start, tmp_path):
    first, second = tmp_path / "first.properties", tmp_path / "second.properties"
    first.write_text("# of the site\naeron.conductor.buffer.length=2097920\naeron.client.liveness.timeout=7s\n")
    second.write_text("aeron.client.liveness.timeout = 8s\n")
    daemon = start(
        str(first),
        str(second),
        "-Daeron.client.liveness.timeout=9s",
        settings={"AERON_CONDUCTOR_BUFFER_LENGTH": "4195072"},
    ).wait_ready()
    assert values(daemon.directory) == (2097920, 9_000_000_000)
    assert daemon.end() == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "expected"),
    [
        (["--fast"], {}, 2, ["unknown argument --fast", "usage: framelaned"]),
        (["-Daeron.mtu.lenght=1408"], {}, 1, ["aeron.mtu.lenght", "aeron.mtu.length"]),
        (["-Daeron.mtu.length=many", "-Daeron.term.buffer.length=3"], {}, 1, ["mtu_length", "term_buffer_length"]),
        (["-D"], {}, 1, ["-D"]),
        (["missing.properties"], {}, 1, ["missing.properties"]),
        ([], {"FRAMELANE_CONFIG": "missing.toml"}, 1, ["missing.toml"]),
        ([], {"FRAMELANE_USER": "nobody-of-that-name"}, 1, ["there is no user 'nobody-of-that-name'"]),
        (
            [],
            {"FRAMELANE_TRANSPORT_REQUIRE": "vma", "FRAMELANE_TRANSPORT_VMA_LIBRARY": "/nowhere/libvma.so"},
            1,
            ["transport.require", "vma", "not usable", "/nowhere/libvma.so"],
        ),
        ([], {"FRAMELANE_TRANSPORT_REQUIRE": "dpdk"}, 1, ["transport.require", "dpdk", "not usable", "asked", "next"]),
    ],
)
def test_what_is_wrong_is_one_message_and_leaves_nothing(tmp_path, arguments, settings, code, expected):
    directory = tmp_path / "aeron"
    found, message = fail(directory, *arguments, settings=settings)
    assert found == code, message
    assert message.startswith("framelaned: ") and "Traceback" not in message
    for part in expected:
        assert part in message
    assert not directory.exists()


def test_an_unknown_name_in_the_environment_is_a_warning(start):
    daemon = start(settings={"AERON_MTU_LENGHT": "1408"}).wait_ready()
    code, output, warnings = daemon.end()
    assert (code, output) == (0, "")
    (line,) = warnings.splitlines()
    assert "AERON_MTU_LENGHT" in line and "AERON_MTU_LENGTH" in line


# ---- the directory ----


def test_a_live_driver_is_not_disturbed(start):
    daemon = start().wait_ready()
    code, message = fail(daemon.directory)
    assert code == 1
    assert message.count("framelaned:") == 1 and "Active media driver detected" in message
    with Client(daemon.directory) as client:
        assert client.add_publication("aeron:ipc", 7)
    assert daemon.end()[0] == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    directory = tmp_path / "file" / "aeron"
    code, message = fail(directory)
    assert code == 1
    assert str(directory) in message and "Not a directory" in message


@pytest.mark.root
def test_a_directory_that_is_read_only_is_named(tmp_path):
    script = 'mount -t tmpfs -o ro tmpfs "$1" && shift && exec "$@"'
    done = run_unshared(script, tmp_path, FRAMELANED)
    assert done.returncode == 1
    assert done.stderr.startswith("framelaned: cannot make the driver directory") and "Read-only" in done.stderr


def run_unshared(script, mount, command):
    """Run a command with a mount of its own; the driver directory is below it."""
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(mount), *command],
        env=environment(mount / "aeron"),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.root
def test_a_file_system_that_is_too_small_is_named_before_anything_is_mapped(tmp_path):
    done = run_unshared('mount -t tmpfs -o size=2m tmpfs "$1" && shift && exec "$@"', tmp_path, FRAMELANED)
    assert done.returncode == 1
    assert done.stderr.startswith("framelaned: ") and len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr and "No space left" in done.stderr


@pytest.mark.root
def test_a_file_system_that_fills_up_is_an_error_answer_and_not_a_crash(tmp_path):
    script = """
import subprocess, sys
from framelane.client import Client
driver = subprocess.Popen(sys.argv[1:])
try:
    with Client() as client:
        kept = client.add_publication("aeron:ipc?term-length=64k", 1)
        for channel in ("aeron:ipc?", "aeron:udp?endpoint=127.0.0.1:20999|"):
            for sparse in ("true", "false"):
                try:
                    client.add_publication(f"{channel}term-length=16m|sparse={sparse}", 2)
                    print("taken")
                except Exception as error:
                    print(f"{type(error).__name__}: {error}")
        print("lost" if kept.is_closed else "kept")
finally:
    driver.terminate()
    print(driver.wait())
"""
    mount = 'mount -t tmpfs -o size=24m tmpfs "$1" && shift && exec "$@"'
    done = run_unshared(mount, tmp_path, [sys.executable, "-c", script, *FRAMELANED])
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["kept", "0"], (done.stdout, done.stderr)
    assert len(lines) == 6 and [line for line in lines[:4] if "STORAGE_SPACE" not in line] == []


# ---- privileges ----


def accounts(pid):
    """Return the user and group ids of every thread of a process: real, effective, saved and of files."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found |= {tuple(line.split()) for line in lines if line.startswith(("Uid:", "Gid:"))}
    return found


@pytest.mark.root
def test_privileges_are_dropped_in_every_thread_and_the_files_are_the_users(start):
    user = pwd.getpwnam("nobody")
    directory = Path("/dev/shm") / f"framelane-privileges-{os.getpid()}"
    settings = {"FRAMELANE_USER": "nobody", "AERON_THREADING_MODE": "DEDICATED"}
    try:
        daemon = start("-Daeron.dir.delete.on.shutdown=1", directory=directory, settings=settings).wait_ready()
        with Client(directory) as client:
            client.add_publication("aeron:ipc", 7)
            files = [directory, *directory.rglob("*")]
            uid, gid = str(user.pw_uid), str(user.pw_gid)
            assert accounts(daemon.process.pid) == {("Uid:", uid, uid, uid, uid), ("Gid:", gid, gid, gid, gid)}
            assert {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(user.pw_uid, user.pw_gid)}
            assert len([path for path in files if path.suffix == ".logbuffer"]) == 1
        attach = "import os, sys; [os.open(path, os.O_RDWR) for path in sys.argv[1:]]"
        shared = [str(path) for path in files if path.is_file() and path.exists()]
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", attach, *shared],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        if done.returncode != 127:
            assert done.returncode == 0, done.stderr
        assert daemon.end() == (0, "", "")
        assert not directory.exists()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def open_folder():
    """A folder of root's that everybody may enter, which pytest's own are not."""
    folder = Path(f"/dev/shm/framelane-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.root
def test_a_directory_that_the_user_may_not_remove_is_emptied_with_a_warning(start, open_folder):
    settings = {"FRAMELANE_USER": "nobody", "FRAMELANE_GROUP": "daemon"}
    daemon = start("-Daeron.dir.delete.on.shutdown=1", directory=open_folder / "aeron", settings=settings).wait_ready()
    assert daemon.directory.group() == "daemon"

    code, output, warnings = daemon.end()

    assert (code, output) == (0, "")
    (line,) = warnings.splitlines()
    assert "directory not removed" in line and str(daemon.directory) in line
    assert not list(daemon.directory.iterdir())


@pytest.mark.root
def test_a_directory_that_the_user_may_not_enter_is_refused_at_the_start(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code, message = fail(closed / "aeron", settings={"FRAMELANE_USER": "nobody"})
    assert code == 1
    assert message.startswith("framelaned: ") and len(message.splitlines()) == 1
    assert "nobody" in message and str(closed / "aeron") in message


# ---- idle ----


@pytest.mark.parametrize("mode", ["SHARED", "DEDICATED"])
def test_without_clients_the_idle_strategy_wait_takes_less_than_a_hundredth_of_a_core(start, mode):
    waiting = {f"AERON_{agent}_IDLE_STRATEGY": "wait" for agent in ("CONDUCTOR", "SENDER", "RECEIVER", "SHARED")}
    daemon = start(settings={"AERON_THREADING_MODE": mode, **waiting}).wait_ready()
    with Client(daemon.directory) as client:  # the first endpoint waits for the probes, which are over then
        client.add_subscription("aeron:udp?endpoint=127.0.0.1:0", 7)
    with CncFile.map(daemon.directory / CNC_FILE, writable=False) as cnc:
        cnc.find_sections()
        counters = cnc.counters()
        wait_until(
            lambda: not any(one.type_id == CounterType.CLIENT_HEARTBEAT for one in counters), "a driver without clients"
        )
    measured_s, passed = 5.0, threading.Event()
    before = cpu_seconds(daemon.process.pid)
    passed.wait(measured_s)  # the span of the measurement
    used = cpu_seconds(daemon.process.pid) - before
    assert used < 0.01 * measured_s, f"{used:.3f} s of {measured_s:g} s"


def cpu_seconds(pid):
    """Return the processor time that all threads of a process have used, from the scheduler's nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
