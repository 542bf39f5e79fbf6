"""The command and control file and the driver directory: start-up, attaching, stale directories."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framelane._native import lib
from framelane.errors import FramelaneError, NativeError
from framelane.shm.cnc import Clock, CncFile, CncParams, DriverNotActive, attach, probe_activity
from framelane.shm.directory import (
    ActiveDriverError,
    default_directory,
    image_log_path,
    prepare_directory,
    publication_log_path,
    resolve_directory,
)
from framelane.shm.error_log import ErrorEntry, format_errors
from framelane.shm.loss_report import LossReport, read_losses

SMALL = CncParams(
    start_timestamp_ms=1_000,
    pid=4711,
    to_driver_buffer_length=4096 + 768,
    to_clients_buffer_length=4096 + 128,
    counters_values_buffer_length=128 * 64,
    error_log_buffer_length=1024,
)


class StepClock:
    """Time that passes only while somebody sleeps, and calls back each time."""

    def __init__(self, now_ms: int = 1_000_000, on_sleep: Callable[[int], None] = lambda now_ms: None) -> None:
        self.now_ms = now_ms
        self.slept_ns = 0
        self.on_sleep = on_sleep

    def clock(self) -> Clock:
        return Clock(epoch_ms=lambda: self.now_ms, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept_ns += round(seconds * 1e9)
        self.now_ms += max(1, round(seconds * 1000))
        self.on_sleep(self.now_ms)


def make_driver(directory: Path, heartbeat_ms: int = 0, *, ready: bool = True) -> CncFile:
    directory.mkdir(exist_ok=True)
    cnc = CncFile.create(directory / "cnc.dat", SMALL)
    cnc.to_driver().set_heartbeat_ms(heartbeat_ms)
    if ready:
        cnc.ready()
    return cnc


def test_file_has_the_lengths_and_facts_it_was_made_with(tmp_path: Path) -> None:
    with make_driver(tmp_path / "d", 5), CncFile.map(tmp_path / "d" / "cnc.dat", writable=False) as other:
        other.check_version()
        other.find_sections()
        metadata = other.metadata
        assert (metadata.start_timestamp_ms, metadata.pid, metadata.file_page_size) == (1_000, 4711, 4096)
        assert metadata.counters_metadata_buffer_length == 4 * 128 * 64
        assert other.length % 4096 == 0
        assert other.to_driver().capacity == 4096
        assert other.counters().max_counter_id == 63


def test_default_file_is_as_long_as_the_specification_says(tmp_path: Path) -> None:
    with CncFile.create(tmp_path / "cnc.dat", CncParams(start_timestamp_ms=0, pid=1)) as cnc:
        assert cnc.length == 48238592
        assert (tmp_path / "cnc.dat").stat().st_blocks * 512 >= cnc.length, "every page is backed"
        assert cnc.version == 0


def test_attach_waits_for_file_version_and_heartbeat(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    made: list[CncFile] = []

    def start(now_ms: int) -> None:
        if now_ms >= 1_000_200 and not made:
            made.append(make_driver(directory, ready=False))
        elif now_ms >= 1_000_300 and made[-1:] and made[0].version == 0:
            made[0].ready()
        elif now_ms >= 1_000_400 and made[-1:]:
            made[0].to_driver().set_heartbeat_ms(now_ms)

    time = StepClock(on_sleep=start)
    with attach(directory, clock=time.clock()) as cnc:
        assert 1_000_400 <= time.now_ms < 1_000_500
        assert cnc.to_driver().next_correlation_id() == 0
    made[0].close()


def test_attach_gives_up_at_the_deadline_and_says_what_to_do(tmp_path: Path) -> None:
    time = StepClock()
    with pytest.raises(DriverNotActive, match=r"within 500 ms: .*start one there, or set AERON_DIR"):
        attach(tmp_path / "none", driver_timeout_ms=500, clock=time.clock())
    assert 500 <= time.slept_ns / 1e6 <= 550


def test_attach_rides_over_the_replacement_of_a_stale_file(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    make_driver(directory, heartbeat_ms=5).close()
    fresh: list[CncFile] = []

    def replace(now_ms: int) -> None:
        if now_ms >= 1_001_000 and not fresh:
            (directory / "cnc.dat").unlink()
            fresh.append(make_driver(directory, heartbeat_ms=now_ms))

    with attach(directory, clock=StepClock(on_sleep=replace).clock()) as cnc:
        assert cnc.to_driver().heartbeat_ms() > 1_000_000
    fresh[0].close()


def test_attach_to_another_major_version_fails_at_once(tmp_path: Path) -> None:
    with make_driver(tmp_path / "d", 1_000_000) as cnc:
        cnc.metadata.cnc_version = 3 << 16
        time = StepClock()
        with pytest.raises(FramelaneError, match=r"CnC version 3\.0\.0, but this framelane speaks 0\.2\.0"):
            attach(tmp_path / "d", clock=time.clock())
        assert time.slept_ns == 0


@pytest.mark.parametrize(
    "field", ["to_driver_buffer_length", "counters_metadata_buffer_length", "error_log_buffer_length"]
)
@pytest.mark.parametrize("value", [-1, -(2**31), 2**31 - 1])
def test_section_lengths_that_lead_out_of_the_file_are_refused(tmp_path: Path, field: str, value: int) -> None:
    with make_driver(tmp_path / "d", 5) as cnc:
        setattr(cnc.metadata, field, value)
        with CncFile.map(cnc.path) as other:
            with pytest.raises(NativeError):
                other.find_sections()
            with pytest.raises(FramelaneError, match="sections were not checked"):
                other.to_driver()


@pytest.mark.parametrize(
    ("heartbeat_ms", "active"), [(1_000_000, True), (990_000, True), (989_999, False), (-1, False), (0, False)]
)
def test_driver_is_active_while_its_heartbeat_is_young(tmp_path: Path, heartbeat_ms: int, active: bool) -> None:
    with make_driver(tmp_path / "d", heartbeat_ms) as cnc:
        assert probe_activity(cnc, 10_000, StepClock().clock()).is_active is active


def test_file_that_is_never_initialised_is_not_active_after_the_timeout(tmp_path: Path) -> None:
    with make_driver(tmp_path / "d", 1_000_000, ready=False) as cnc:
        time = StepClock()
        activity = probe_activity(cnc, 100, time.clock())
        assert not activity.is_active
        assert "not initialised" in activity.note
        assert time.now_ms > 1_000_100


def test_new_directory_has_its_subdirectories_and_modes(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        prepare_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for path in ("", "publications", "images"):
        assert stat.S_IMODE((tmp_path / "a" / "b" / path).stat().st_mode) == 0o750


def test_directory_of_a_live_driver_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with make_driver(directory, 1_000_000):
        with pytest.raises(ActiveDriverError, match=r"^Active media driver detected: .*/d/cnc\.dat"):
            prepare_directory(directory, clock=StepClock().clock())
        assert (directory / "cnc.dat").exists()
        prepare_directory(directory, delete_on_start=True, clock=StepClock().clock())
        assert not (directory / "cnc.dat").exists()


def test_stale_directory_is_replaced_and_its_errors_are_saved(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with make_driver(directory, 5) as cnc, cnc.error_log() as log:
        assert log.record(11, "first\nwith a second line", now_ms=2_000) is True
        assert log.record(11, "first\nwith a second line", now_ms=3_000) is False
        assert log.record(1, "other", now_ms=4_000) is True
    (directory / "publications").mkdir()
    (directory / "publications" / "7.logbuffer").write_bytes(b"x")
    warnings: list[str] = []
    prepare_directory(directory, warn_if_exists=True, warn=warnings.append, clock=StepClock().clock())
    assert list((directory / "publications").iterdir()) == []
    (saved,) = tmp_path.glob("d-*-error.log")
    assert ":" not in saved.name
    text = saved.read_text()
    assert text.count("***\n") == 2
    assert "\n first\nwith a second line\n" in text
    assert text.endswith("2 distinct errors observed.\n")
    assert "2 observations from " in text
    exists, errors = warnings
    assert re.fullmatch(rf"{re.escape(str(directory))} already exists; its driver's heartbeat is \d+ ms old", exists)
    assert errors == f"existing errors saved to: {saved}"


def test_empty_cnc_file_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "cnc.dat").touch()
    with pytest.raises(NativeError, match="it is empty"):
        prepare_directory(tmp_path / "d")


def test_directory_that_holds_the_home_directory_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "homes" / "someone"
    home.mkdir(parents=True)
    (home / "kept").touch()
    monkeypatch.setenv("HOME", str(home))
    for directory in (home, home.parent):
        with pytest.raises(FramelaneError, match="holds the home directory"):
            prepare_directory(directory, delete_on_start=True)
    assert (home / "kept").exists()


def test_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(FramelaneError, match="is a link"):
        prepare_directory(tmp_path / "link", delete_on_start=True)
    assert (tmp_path / "target" / "kept").exists()


def test_mount_point_is_emptied_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "d"
    (directory / "publications").mkdir(parents=True)
    (directory / "publications" / "1.logbuffer").touch()
    (directory / "cnc.dat").touch()
    inode = directory.stat().st_ino
    monkeypatch.setattr(Path, "is_mount", lambda path: path == directory)
    prepare_directory(directory, delete_on_start=True)
    assert directory.stat().st_ino == inode
    assert sorted(p.name for p in directory.rglob("*")) == ["images", "publications"]


def test_directory_is_the_explicit_one_then_the_environment_then_the_user() -> None:
    environ = {"AERON_DIR": "/x/y", "USER": "someone"}
    assert resolve_directory("/a", environ) == Path("/a")
    assert resolve_directory(None, environ) == Path("/x/y")
    assert resolve_directory(None, {"USER": "someone"}) == Path("/dev/shm/aeron-someone")
    assert default_directory({}).name.startswith("aeron-")
    with pytest.raises(FramelaneError, match="at most 4095"):
        resolve_directory("/" + "x" * 4096)
    assert publication_log_path(Path("/d"), 7) == Path("/d/publications/7.logbuffer")
    assert image_log_path(Path("/d"), -7) == Path("/d/images/-7.logbuffer")


def test_full_error_log_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    with make_driver(tmp_path / "d", 5) as cnc, cnc.error_log() as log:
        results = [log.record(n, "x" * 200, now_ms=n) for n in range(6)]
        assert results == [True] * 4 + [None] * 2
        assert log.record(0, "x" * 200, now_ms=99) is False
        assert cnc.errors(since_ms=50) == [ErrorEntry(2, 0, 99, "x" * 200)]
        assert len(cnc.errors()) == 4


def test_error_list_reads_as_the_stock_tool_prints_it() -> None:
    entries = [ErrorEntry(3, 1, 2, "text"), ErrorEntry(1, 5, 5, "other")]
    assert format_errors(entries, timestamp=lambda ms: f"t{ms}") == (
        "***\n3 observations from t1 to t2 for:\n text\n"
        "***\n1 observations from t5 to t5 for:\n other\n"
        "\n2 distinct errors observed.\n"
    )


@pytest.mark.parametrize("channel_length", range(1, 80))
def test_losses_are_found_by_the_stride_of_the_c_reader_and_of_the_writer(tmp_path: Path, channel_length: int) -> None:
    path = tmp_path / "loss-report.dat"
    sources = ["10.0.0.1:" + "9" * n for n in range(1, 16)]
    channel = "c" * channel_length
    with LossReport(path, 65536) as report:
        for n, source in enumerate(sources):
            made = report.create(
                bytes_lost=64 + n, now_ms=1000, session_id=n, stream_id=5, channel=channel, source=source
            )
            assert made is not None
    content = path.read_bytes()
    offset = 0
    for n in range(len(sources)):
        assert int.from_bytes(content[offset : offset + 8], "little") == 1
        assert int.from_bytes(content[offset + 32 : offset + 36], "little") == n
        source_at = offset + 44 + -(-channel_length // 4) * 4
        source_length = int.from_bytes(content[source_at : source_at + 4], "little")
        offset += -(-(48 + channel_length + source_length) // 64) * 64
    found = list(read_losses(path))
    assert [(e.channel, e.source, e.total_bytes_lost) for e in found] == [
        (channel, source, 64 + n) for n, source in enumerate(sources)
    ]


def test_full_loss_report_reports_no_more(tmp_path: Path) -> None:
    with LossReport(tmp_path / "loss-report.dat", 1) as report:
        made = [
            report.create(bytes_lost=1, now_ms=1, session_id=n, stream_id=1, channel="c", source="s") for n in range(65)
        ]
    assert [m is None for m in made] == [False] * 64 + [True]


FILL_TMPFS = """
import os, sys
from pathlib import Path
from framelane._native import lib
from framelane.errors import NativeError
from framelane.shm.cnc import CncFile, CncParams
from framelane.shm.log_buffer import LogBuffer, LogParams, LogType, check_storage
root = Path(sys.argv[1])
def refused(make):
    try:
        make()
    except NativeError as error:
        assert error.code == lib.FL_ENOSPC, error
        print(error)
    else:
        raise SystemExit("not refused")
params = LogParams(LogType.IMAGE, 1, 1, 1, 1, term_length=1 << 20, mtu_length=1408)
refused(lambda: CncFile.create(root / "cnc.dat", CncParams(start_timestamp_ms=0, pid=1)))
refused(lambda: LogBuffer.create(root / "log", params))
refused(lambda: check_storage(root, 3 << 20, 0))
assert os.listdir(root) == []
"""


@pytest.mark.root
def test_file_system_that_is_too_small_is_an_error_and_not_a_sigbus(tmp_path: Path) -> None:
    script = f'mount -t tmpfs -o size=2m none "{tmp_path}" && exec "{sys.executable}" -c "$FILL" "{tmp_path}"'
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={**os.environ, "FILL": FILL_TMPFS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No space left on device" in result.stdout
    assert "free space there, mount a larger file system, or choose smaller buffers" in result.stdout
    assert lib.FL_ENOSPC == 28
