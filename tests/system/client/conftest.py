"""A driver process for each test: ours, and with the marker interop the stock one of PEERS."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import wait_until

LIMIT_S = 60.0

#: A process that waits for its processor is not dead; tests of these timeouts set them.
_PATIENCE = {"aeron.client.liveness.timeout": "60s", "aeron.publication.unblock.timeout": "65s"}


def stock_binary(name: str) -> Path:
    """Return a program of the stock distribution in PEERS."""
    peers = os.environ.get("PEERS")
    if not peers:
        pytest.skip("PEERS does not name a directory with stock programs")
    for directory in ("", "binaries", "build/binaries", "bin"):
        if (path := Path(peers) / directory / name).is_file():
            return path
    pytest.skip(f"PEERS={peers} has no {name}")


class Driver:
    """A driver process that the test started."""

    def __init__(self, directory: Path, *, is_stock: bool, settings: dict[str, str]) -> None:
        self.directory = directory
        program = [str(stock_binary("aeronmd"))] if is_stock else [sys.executable, "-m", "framelane.cli.framelaned"]
        settings = {"aeron.dir": str(directory), "aeron.threading.mode": "SHARED", **_PATIENCE, **settings}
        arguments = [f"-D{name}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen([*program, *arguments], stdout=subprocess.DEVNULL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(params=["framelane", pytest.param("stock", marks=pytest.mark.interop)])
def start_driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Start drivers, each in a directory of its own, with settings by their property names."""
    drivers: list[Driver] = []
    base = Path("/dev/shm") / f"framelane-test-{os.getpid()}"

    def start(**settings: str) -> Driver:
        directory = Path(f"{base}-{len(drivers)}")
        named = {"aeron." + name.replace("_", "."): value for name, value in settings.items()}
        driver = Driver(directory, is_stock=request.param == "stock", settings=named)
        drivers.append(driver)
        return driver

    yield start
    for driver in drivers:
        driver.stop()
        subprocess.run(["rm", "-rf", str(driver.directory)], check=True)


@pytest.fixture
def driver(start_driver: Callable[..., Driver]) -> Driver:
    return start_driver()


def find_free_port() -> int:
    """Return a UDP port that was free a moment ago: tests of several people run on one machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@pytest.fixture
def udp() -> str:
    """A UDP channel of the test's own, with short terms."""
    return f"aeron:udp?endpoint=127.0.0.1:{find_free_port()}|term-length=256k"


@pytest.fixture(params=["ipc", "udp"])
def channel(request: pytest.FixtureRequest, udp: str) -> str:
    return udp if request.param == "udp" else "aeron:ipc?term-length=256k"


@pytest.fixture
def wait() -> Callable[..., object]:
    return wait_until


@pytest.fixture
def stock_program() -> Callable[[str], str]:
    """Return the path of a stock program by its name."""
    return lambda name: str(stock_binary(name))
