"""``PEERS`` names the folder of the stock programs, release 1.52, in the folder of their build."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from support.drivers import DriverProcess, start_driver
from support.namespaces import new_namespace
from support.processes import Processes
from support.stock_client import StockClient, build_stock_client


@pytest.fixture(scope="session")
def peers() -> Path:
    folder = Path(os.environ.get("PEERS", ""))
    if not (folder / "aeronmd").exists():
        pytest.skip("PEERS does not name a folder with aeronmd")
    return folder


def headers_of(build: Path) -> Path:
    """The folder of the stock C client's headers: where CMake was."""
    name = "CMAKE_HOME_DIRECTORY:INTERNAL="
    lines = (build / "CMakeCache.txt").read_text().splitlines()
    (source,) = (line.removeprefix(name) for line in lines if line.startswith(name))
    return Path(source, "aeron-client/src/main/c")


@pytest.fixture(scope="session")
def stock_view(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``stock_view.c``, built with the stock C client: its library beside the programs."""
    build = peers.parent
    program = tmp_path_factory.mktemp("interop") / "stock_view"
    command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", Path(__file__).with_name("stock_view.c")]
    command += ["-I", headers_of(build), "-o", program]
    command += ["-L", build / "lib", "-laeron", f"-Wl,-rpath,{build / 'lib'}"]
    subprocess.run(command, check=True, timeout=60)
    return program


@pytest.fixture(scope="session")
def stock_module(peers: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    build = peers.parent
    return build_stock_client(headers_of(build), build / "lib", tmp_path_factory.mktemp("stock-client"))


#: Of all drivers of this file's fixtures: what is waited for in tests takes a second or two.
SETTINGS = {
    "AERON_TERM_BUFFER_LENGTH": "256k",
    "AERON_IPC_TERM_BUFFER_LENGTH": "256k",
    "AERON_TIMER_INTERVAL": "100ms",
    "AERON_IMAGE_LIVENESS_TIMEOUT": "1500ms",
    "AERON_PUBLICATION_LINGER_TIMEOUT": "500ms",
    "AERON_CUBICCONGESTIONCONTROL_MEASURERTT": "1",
}


class Host:
    """A network namespace whose ports are all free, with drivers, and stock clients of them."""

    def __init__(self, namespace: str, processes: Processes, shared: Path, peers: Path, module: ModuleType) -> None:
        self._namespace, self._processes, self._shared = namespace, processes, shared
        self._peers, self._module = peers, module
        self._driver_count = 0
        self._ports = itertools.count(40100)
        self._clients: list[StockClient] = []

    def start(self, kind: str, settings: Mapping[str, str] | None = None) -> DriverProcess:
        """Start a driver, ``ours`` or ``stock``."""
        self._driver_count += 1
        return start_driver(
            self._processes,
            self._shared / f"{kind}-{self._driver_count}",
            name=kind,
            namespace=self._namespace,
            settings=SETTINGS | dict(settings or {}),
            program=self._peers / "aeronmd" if kind == "stock" else None,
        )

    def client(self, driver: DriverProcess) -> StockClient:
        self._clients.append(StockClient(self._module, driver.directory))
        return self._clients[-1]

    def address(self) -> str:
        """Return an address with a port that no other test has."""
        return f"127.0.0.1:{next(self._ports)}"

    def close_clients(self) -> None:
        while self._clients:
            self._clients.pop().close()


@pytest.fixture(scope="module")
def module_host(
    peers: Path, stock_module: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Host, dict[str, tuple[DriverProcess, DriverProcess]]]]:
    """A host with two drivers of each kind, for all tests of a module."""
    shared = Path(tempfile.mkdtemp(prefix="framelane-test-", dir="/dev/shm"))
    with new_namespace() as namespace, Processes(tmp_path_factory.mktemp("drivers")) as processes:
        host = Host(namespace, processes, shared, peers, stock_module)
        yield host, {kind: (host.start(kind), host.start(kind)) for kind in ("ours", "stock")}
    shutil.rmtree(shared, ignore_errors=True)


@pytest.fixture
def host(module_host: tuple[Host, object]) -> Iterator[Host]:
    yield module_host[0]
    module_host[0].close_clients()


@pytest.fixture
def drivers(
    module_host: tuple[Host, dict[str, tuple[DriverProcess, DriverProcess]]],
) -> Iterator[dict[str, tuple[DriverProcess, DriverProcess]]]:
    """Two drivers of each kind, ``ours`` and ``stock``; a test must not leave errors in their logs."""
    running = module_host[1]
    before = {id(driver): driver.errors() for pair in running.values() for driver in pair}
    yield running
    for pair in running.values():
        for driver in pair:
            assert driver.errors() == before[id(driver)]
