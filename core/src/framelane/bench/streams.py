"""Publications and subscriptions of a benchmark worker, and the drivers that carry them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framelane.bench.network import Site
from framelane.client import Client, ExclusivePublication, Subscription
from framelane.errors import FramelaneError
from framelane.shm.cnc import attach

__all__ = ["DriverProcess", "published", "subscribed"]

CONNECT_LIMIT_S = 10.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def published(directory: str, channel: str, stream_id: int, *, wait: bool = True) -> Iterator[ExclusivePublication]:
    """An exclusive publication, connected unless ``wait`` is off."""
    with Client(directory) as client:
        publication = client.add_exclusive_publication(channel, stream_id)
        limit = time.monotonic() + CONNECT_LIMIT_S
        while wait and not publication.is_connected:
            if time.monotonic() > limit:
                raise FramelaneError(f"nobody subscribed to {channel} stream {stream_id} within {CONNECT_LIMIT_S} s")
            time.sleep(0.001)
        yield publication


@contextmanager
def subscribed(directory: str, channel: str, stream_id: int) -> Iterator[Subscription]:
    """A subscription; its images come and go while the loop runs."""
    with Client(directory) as client:
        yield client.add_subscription(channel, stream_id)


class DriverProcess:
    """A media driver at one end of a benchmark, as the environment's ``AERON_*`` configures it.

    Threading mode SHARED with idle strategy yield, unless the environment says otherwise: the fairest choice on few
    cores.
    """

    def __init__(self, site: Site, directory: Path, transport: str) -> None:
        self.directory = directory
        environment = {
            "AERON_THREADING_MODE": "SHARED",
            "AERON_SHARED_IDLE_STRATEGY": "yield",
            **os.environ,
            "AERON_DIR": str(directory),
            "AERON_DIR_DELETE_ON_SHUTDOWN": "true",
            "FRAMELANE_TRANSPORT_USE": transport,
            "FRAMELANE_TRANSPORT_REQUIRE": transport,
        }
        self._process = subprocess.Popen(
            [*site.prefix, sys.executable, "-m", "framelane.cli.framelaned"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        limit = time.monotonic() + CONNECT_LIMIT_S
        while not (directory / "cnc.dat").exists():
            if self._process.poll() is not None or time.monotonic() > limit:
                _, reason = self._process.communicate() if self._process.poll() is not None else ("", "no start")
                self.close()
                raise FramelaneError(f"the benchmark's driver did not start: {reason.strip()}")
            time.sleep(0.01)
        attach(directory, driver_timeout_ms=10_000).close()

    def cpu_seconds(self) -> float:
        """Processor time that the driver has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def close(self) -> None:
        """End the driver and remove its directory."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        shutil.rmtree(self.directory, ignore_errors=True)
