"""``framelane demo``: a driver, a file and round trips between processes, on whatever transport selection picks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from framelane.cli.options import JsonOption, make_console, print_json
from framelane.cli.running import make_progress, stderr_console, view_driver, wait_for
from framelane.driver.verdicts import read_verdicts
from framelane.errors import FramelaneError
from framelane.interrupts import start_child

__all__ = ["register"]

_START_LIMIT_S = 30.0
_STEP_LIMIT_S = 120.0
_STOP_LIMIT_S = 15.0
_CHUNK_LENGTH = 1 << 20
_HOST = "127.0.0.1"


def register(app: typer.Typer) -> None:
    """Add ``demo``."""
    app.command("demo")(demo)


def demo(
    size: Annotated[int, typer.Option("--size", min=1, help="MiB of random bytes to stream.")] = 64,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Round trips to measure.")] = 20_000,
    port: Annotated[int, typer.Option("--port", min=1, max=65533, help="First of three UDP ports.")] = 20130,
    as_json: JsonOption = False,
) -> None:
    """Start a driver, stream a file through it and play ping/pong, all in processes of their own; print what served it
    and how fast it was."""
    with tempfile.TemporaryDirectory(prefix="framelane-demo-") as scratch, _driver() as running:
        result = _run(running, Path(scratch), size, count, port, quiet=as_json)
    if as_json:
        print_json(result)


@dataclass(frozen=True)
class _Running:
    """The demo's driver."""

    process: subprocess.Popen[bytes]
    directory: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "framelane", *arguments, "--dir", str(self.directory)]


@contextlib.contextmanager
def _driver() -> Iterator[_Running]:
    directory = Path(tempfile.mkdtemp(prefix=f"framelane-demo-{os.getpid()}-", dir="/dev/shm"))
    arguments = [sys.executable, "-m", "framelane.cli.framelaned", "-Daeron.dir.delete.on.shutdown=true"]
    # The directory is our own: nobody else can serve it.
    arguments += [f"-Daeron.dir={directory}", "-Daeron.dir.delete.on.start=true"]
    process = start_child(arguments, stdout=subprocess.DEVNULL)
    try:
        cnc = directory / "cnc.dat"
        wait_for(lambda: cnc.exists() or process.poll() is not None, _START_LIMIT_S, f"the driver made no {cnc}")
        if process.poll() is not None:
            raise FramelaneError(f"the driver ended with exit code {process.returncode}; run framelane doctor")
        yield _Running(process, directory)
    finally:
        _stop(process)
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["rm", "-rf", "--", str(directory)], check=False)


def _stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(running: _Running, scratch: Path, size: int, count: int, port: int, *, quiet: bool) -> dict[str, Any]:
    console = stderr_console() if quiet else make_console()
    source, target = scratch / "sent", scratch / "received"
    digest = _make_file(source, size)
    channel = f"aeron:udp?endpoint={_HOST}:{port}"
    subscriber = start_child(
        running.command("subscribe", "-c", channel, "-o", str(target), "--timeout", "30", "--json"),
        stdout=subprocess.PIPE,
    )
    try:
        published = _json_of(running.command("publish", "-c", channel, "-f", str(source), "--json", "--timeout", "30"))
        output, _ = subscriber.communicate(timeout=_STEP_LIMIT_S)
    finally:
        _stop(subscriber)
    received = json.loads(output)
    if not received["sha256_matches"]:
        raise FramelaneError(f"the file did not arrive whole: {received}")
    ping_channel, pong_channel = (f"aeron:udp?endpoint={_HOST}:{port + i}" for i in (1, 2))
    channels = ["-c", ping_channel, "-C", pong_channel]
    pong = start_child(running.command("pong", *channels), stderr=subprocess.DEVNULL)
    try:
        # While the pong's endpoints are open: what serves them is in the counters.
        round_trips = _json_of(running.command("ping", *channels, "-n", str(count), "--timeout", "30", "--json"))
        name, why = _transport(running.directory)
    finally:
        _stop(pong, signal.SIGINT)
    console.print(f"transport: {name} ({why})", soft_wrap=True)
    console.print(
        f"file: {size} MiB from process to process in {published['seconds']:.2f} s, "
        f"{published['bytes_per_second'] / 1e6:,.0f} MB/s, SHA-256 {digest[:16]}... identical"
    )
    _print_round_trips(console, round_trips)
    return {
        "transport": name,
        "why": why,
        "file": {"bytes": size << 20, "seconds": received["seconds"], "sha256": digest, "published": published},
        "round_trips": round_trips,
    }


def _make_file(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file, make_progress() as progress:
        for _ in progress.track(range(size), description="making a file"):
            chunk = os.urandom(_CHUNK_LENGTH)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _json_of(command: list[str]) -> dict[str, Any]:
    process = start_child(command, stdout=subprocess.PIPE)
    try:
        output, _ = process.communicate(timeout=_STEP_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise FramelaneError(f"{' '.join(command[2:])} took longer than {_STEP_LIMIT_S:g} s") from None
    finally:
        _stop(process)
    if process.returncode != 0:
        raise FramelaneError(f"{' '.join(command[2:])} failed with exit code {process.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


def _transport(directory: Path) -> tuple[str, str]:
    """Return which transport serves the demo's endpoints, and why, as the driver shows it in its counters."""
    with view_driver(directory) as cnc:
        served = {(one.transport, one.why) for one in read_verdicts(cnc.counters())}
    if not served:
        raise FramelaneError(f"the driver of {directory} shows no endpoint")
    names, reasons = (sorted(set(column)) for column in zip(*served, strict=True))
    return ", ".join(names), "; ".join(reason.rstrip(".") for reason in reasons)


def _print_round_trips(console: Any, round_trips: dict[str, Any]) -> None:
    console.print(f"ping/pong: {round_trips['count']} round trips of {round_trips['message_length']} bytes")
    for percentile, value_ns in round_trips["percentiles"].items():
        console.print(f"  {percentile:>6} %  {value_ns / 1000:>10,.1f} us")
    for line in round_trips["bars"]:
        console.print(f"  {line}")
