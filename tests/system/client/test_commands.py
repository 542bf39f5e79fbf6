"""The command line against a driver in another process."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from framelane.cli.resume_point import PointFile, point_path
from framelane.client import Client
from framelane.shm.counter_types import CounterType
from support.mortal import bury, killed_at, subscribers

MIB = 1 << 20
IPC = "aeron:ipc?term-length=256k"
LIMIT_S = 60

Wait = Callable[..., None]
Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def run_on() -> Iterator[Run]:
    """Start commands on a driver; end what is left of them."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(driver: Any, *arguments: str | Path, **keywords: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "framelane", *map(str, arguments), "--dir", str(driver.directory)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def run(driver: Any, run_on: Run) -> Run:
    return partial(run_on, driver)


def finish(process: subprocess.Popen[bytes], code: int = 0) -> bytes:
    """Wait for a command and return its output."""
    output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, (output, errors)
    return bytes(output)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(random.Random(3).randbytes(24 * MIB + 12345))
    return path


def test_a_file_arrives_whole_and_both_ends_say_so(run: Run, source: Path, tmp_path: Path, channel: str) -> None:
    target = tmp_path / "target.bin"
    subscriber = run("subscribe", "-c", channel, "-o", target, "--json")
    publisher = run("publish", "-c", channel, "-f", source, "--session-id", "4711", "--json")
    sent, received = (json.loads(finish(process)) for process in (publisher, subscriber))
    assert target.read_bytes() == source.read_bytes()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert (sent["sha256"], sent["bytes"], sent["consumed"]) == (digest, source.stat().st_size, True)
    assert (received["sha256_matches"], received["name"], received["missing"]) == (True, "source.bin", [])
    assert sent["session_id"] == received["session_id"] == 4711


def test_an_empty_file_arrives(run: Run, tmp_path: Path, udp: str) -> None:
    (tmp_path / "empty").touch()
    subscriber = run("subscribe", "-c", udp, "-o", tmp_path / "target")
    finish(run("publish", "-c", udp, "-f", tmp_path / "empty"))
    finish(subscriber)
    assert (tmp_path / "target").read_bytes() == b""


def start_mortal(run: Run, target: Path, channel: str, goal: int) -> subprocess.Popen[bytes]:
    """Start a resuming subscriber that is killed when it has written so many bytes of the file."""
    environment = {**os.environ, **killed_at(target.parent, goal)}
    return run("subscribe", "-c", channel, "-o", target, "--resume", "--json", env=environment)


def test_a_killed_subscriber_that_is_restarted_in_time_has_every_byte(
    run: Run, driver: Any, source: Path, tmp_path: Path, channel: str
) -> None:
    target = tmp_path / "target.bin"
    publisher = run("publish", "-c", channel, "-f", source, "--json")
    dead: list[int] = []
    for goal in (2 * MIB + 1, 12 * MIB + 1):
        subscriber = start_mortal(run, target, channel, goal)
        if dead:
            bury(driver.directory, dead)
        assert subscriber.wait(LIMIT_S) == -signal.SIGKILL
        dead = subscribers(driver.directory)
        # What was written behind the last point does not count: it comes again.
        with target.open("ab") as file:
            file.write(b"torn")
    subscriber = run("subscribe", "-c", channel, "-o", target, "--resume", "--json")
    bury(driver.directory, dead)
    received = json.loads(finish(subscriber))
    finish(publisher)
    assert received["resumed"] and received["sha256_matches"]
    assert target.read_bytes() == source.read_bytes()
    assert not point_path(target).exists()


def test_a_killed_subscriber_that_is_restarted_late_says_what_is_missing(
    start_driver: Any, run_on: Run, wait: Wait, source: Path, tmp_path: Path, udp: str
) -> None:
    driver = start_driver(
        client_liveness_timeout="3s",
        image_liveness_timeout="3s",
        timer_interval="100ms",
        publication_unblock_timeout="4s",
        publication_connection_timeout="3s",
    )
    run = partial(run_on, driver)
    target = tmp_path / "target.bin"
    publisher = run("publish", "-c", udp, "-f", source, "--json")
    assert start_mortal(run, target, udp, 2 * MIB + 1).wait(LIMIT_S) == -signal.SIGKILL
    kinds = (CounterType.SUBSCRIBER_POSITION, CounterType.RECEIVER_POSITION)
    with Client(driver.directory) as client:
        wait(lambda: not any(counter.type_id in kinds for counter in client.counters))
    received = json.loads(finish(run("subscribe", "-c", udp, "-o", target, "--resume", "--json"), 1))
    finish(publisher)
    ((begin, end),) = received["missing"]
    assert MIB < begin < end < source.stat().st_size
    sent, written = source.read_bytes(), target.read_bytes()
    assert written[:begin] == sent[:begin]
    assert written[end:] == sent[end:]
    assert written[begin:end] != sent[begin:end]


def test_a_subscriber_whose_publication_is_gone_says_what_is_missing(run: Run, source: Path, tmp_path: Path) -> None:
    target, goal = tmp_path / "target.bin", 2 * MIB + 1
    publisher = run("publish", "-c", IPC, "-f", source)
    assert start_mortal(run, target, IPC, goal).wait(LIMIT_S) == -signal.SIGKILL
    publisher.kill()
    points = PointFile(point_path(target))
    point = points.load()
    assert point is not None
    # Another session, such as that of the publisher that lingers, is no substitute.
    point.session_id ^= 1
    points.store(point)
    points.close()
    command = run("subscribe", "-c", IPC, "-o", target, "--resume", "--timeout", "0.5", "--json")
    received = json.loads(finish(command, 1))
    assert received["missing"] == [[goal, source.stat().st_size]]
    assert target.read_bytes()[:goal] == source.read_bytes()[:goal]


def test_lines_go_from_standard_input_to_standard_output(run: Run) -> None:
    subscriber = run("subscribe", "-c", IPC, "-n", "3")
    publisher = run("publish", "-c", IPC, stdin=subprocess.PIPE)
    publisher.communicate(b"one\n\ntwo words\n", timeout=LIMIT_S)
    assert finish(subscriber) == b"one\n\ntwo words\n"


def test_generated_messages_keep_their_count_and_rate(run: Run, udp: str) -> None:
    subscriber = run("subscribe", "-c", udp, "--until-end")
    publisher = run("publish", "-c", udp, "--generate", "100", "-n", "200", "--rate", "400", "--json")
    sent = json.loads(finish(publisher))
    assert sent["messages"] == 200 and 0.4 < sent["seconds"] < 20
    assert finish(subscriber) == (bytes(100) + b"\n") * 200


def test_ping_measures_what_pong_returns(run: Run, free_port: Callable[[], int]) -> None:
    ping_channel, pong_channel = (f"aeron:udp?endpoint=127.0.0.1:{free_port()}" for _ in range(2))
    channels = ("-c", ping_channel, "-C", pong_channel)
    pong = run("pong", *channels)
    result = json.loads(finish(run("ping", *channels, "-n", "500", "-w", "50", "--json")))
    assert result["count"] == 500
    percentiles = list(result["percentiles"].values())
    assert 0 < result["min"] <= percentiles[0] and percentiles == sorted(percentiles)
    pong.send_signal(signal.SIGINT)
    finish(pong, 130)


def test_the_driver_can_be_looked_at(run: Run, driver: Any, udp: str) -> None:
    with Client(driver.directory, client_name="watched") as client:
        subscription = client.add_subscription(udp, 5)
        publication = client.add_exclusive_publication(udp, 5)
        publication.offer_blocking(b"x" * 100, 10)
        counters = json.loads(finish(run("stat", "--json")))["counters"]
        assert any("name=watched" in counter["label"] for counter in counters)
        lines = finish(run("stat", "pub-pos")).decode().splitlines()
        ids = f"{publication.registration_id} {publication.session_id} 5"
        assert lines[1].split(" - ")[1] == f"pub-pos (exclusive): {ids} {udp}"
        streams = json.loads(finish(run("streams", "--json")))["streams"]
        kinds = {stream["kind"]: stream for stream in streams}
        assert kinds["publication"]["counters"]["publisher_position"] == 160
        assert kinds["image"]["subscribers"][0]["registration_id"] == subscription.registration_id
        assert json.loads(finish(run("loss", "--json"))) == {"losses": []}
        with pytest.raises(Exception, match="nonsense"):
            client.add_publication("aeron:udp?endpoint=nonsense:70000:1", 5)
        errors = json.loads(finish(run("errors", "--json")))["errors"]
        assert any("nonsense" in error["text"] for error in errors)
        findings = json.loads(finish(run("doctor", "--json")))["findings"]
        assert next(finding for finding in findings if finding["name"] == "driver")["state"] == "ok"


def test_an_interrupted_subscriber_ends_quietly(run: Run, driver: Any, wait: Wait) -> None:
    subscriber = run("subscribe", "-c", IPC)
    with Client(driver.directory) as client:
        publication = client.add_publication(IPC, 1001)
        wait(lambda: publication.is_connected)
        subscriber.send_signal(signal.SIGINT)
        output, errors = subscriber.communicate(timeout=LIMIT_S)
        assert (subscriber.returncode, output, errors) == (130, b"", b"")
        # It said good-bye: nothing waits for its liveness timeout.
        wait(lambda: not publication.is_connected, timeout_s=8)


def test_a_command_without_a_driver_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "framelane", "stat", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "start one (framelane driver)" in done.stderr
    environment = {**os.environ, "AERON_DRIVER_TIMEOUT": "600"}
    command = [sys.executable, "-m", "framelane", "publish", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "no driver serves" in done.stderr
