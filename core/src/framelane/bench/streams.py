"""Publications and subscriptions of a benchmark worker, and the drivers that carry them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from framelane.bench.network import Site
from framelane.client import Client, ExclusivePublication, Subscription
from framelane.errors import FramelaneError
from framelane.interrupts import start_child
from framelane.shm.cnc import CncFile, attach
from framelane.shm.counter_types import CounterType

__all__ = ["DriverProcess", "published", "subscribed", "useful_calls"]

CONNECT_LIMIT_S = 30.0
#: How often the drivers copy their transports' figures into counters: below the time that a receiving side waits for
#: the end, so that the figures of a run are complete when it is over.
FIGURES_INTERVAL = "50ms"


def useful_calls(figures: Mapping[str, int]) -> int:
    """Return from a transport's figures how many system calls it made to move datagrams; 0 if it does not tell.

    Receiving calls that brought nothing are busy waiting, and a matter of the idle strategy.
    """
    sign = {"-tx-syscalls": 1, "-rx-syscalls": 1, "-rx-empty": -1, "-kicks": 1, "-rx-wakeups": 1}
    return sum(factor * value for name, value in figures.items() for end, factor in sign.items() if name.endswith(end))


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
        self._cnc: CncFile | None = None
        environment = {
            "AERON_THREADING_MODE": "SHARED",
            "AERON_SHARED_IDLE_STRATEGY": "yield",
            "AERON_TIMER_INTERVAL": FIGURES_INTERVAL,
            **os.environ,
            "AERON_DIR": str(directory),
            "AERON_DIR_DELETE_ON_SHUTDOWN": "true",
            "FRAMELANE_TRANSPORT_USE": transport,
            "FRAMELANE_TRANSPORT_REQUIRE": transport,
        }
        self._process = start_child(
            [*site.prefix, sys.executable, "-m", "framelane.cli.framelaned"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._wait_for_start()
        except BaseException:
            self.close()
            raise

    def _wait_for_start(self) -> None:
        limit = time.monotonic() + CONNECT_LIMIT_S
        while not (self.directory / "cnc.dat").exists():
            if self._process.poll() is not None or time.monotonic() > limit:
                _, reason = self._process.communicate() if self._process.poll() is not None else ("", "no start")
                raise FramelaneError(f"the benchmark's driver did not start: {reason.strip()}")
            time.sleep(0.01)
        self._cnc = attach(self.directory, driver_timeout_ms=10_000)

    def cpu_ns(self) -> int:
        """Processor time that the driver's threads have used."""
        threads = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)

    def system_calls(self) -> int:
        """System calls of its transports that moved datagrams."""
        assert self._cnc is not None
        figures = {
            counter.label: counter.value
            for counter in self._cnc.counters()
            if counter.type_id == CounterType.TRANSPORT_FIGURE
        }
        return useful_calls(figures)

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
        if self._cnc is not None:
            self._cnc.close()
        shutil.rmtree(self.directory, ignore_errors=True)
