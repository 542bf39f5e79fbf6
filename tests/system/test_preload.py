"""``framelane driver --preload``: drivers on sockets that an accelerator's library has taken over, by stand-ins."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from framelane.client import Client
from framelane.errors import FramelaneError
from framelane.preload.accelerators import ACCELERATORS
from framelane.preload.launch import check_preload, environment_for
from support.drivers import DriverProcess, start_driver
from support.exchange import exchange
from support.processes import Processes, wait_until
from support.vma import VARIABLE, build_preload

FRAMELANE = str(Path(sys.executable).with_name("framelane"))
ON = {VARIABLE: "on", "ONLOAD_STAND_IN": "on"}
MIB = 1024 * 1024


def start(processes: Processes, shared: Path, name: str, settings: Mapping[str, str]) -> DriverProcess:
    program = [FRAMELANE, "driver", "--preload", name, "--preload-library", str(build_preload(name))]
    return start_driver(processes, shared / "driver", program=program, settings=settings)


def figures(driver: DriverProcess) -> dict[str, int]:
    return {c.label: c.value for c in driver.cnc.counters() if c.label.startswith("sockets-")}


def environment(driver: DriverProcess) -> dict[str, str]:
    text = Path(f"/proc/{driver.cnc.metadata.pid}/environ").read_text()
    return dict(one.split("=", 1) for one in text.split("\0") if "=" in one)


@pytest.mark.parametrize(
    ("name", "switch"), [("vma", {"VMA_EXCEPTION_HANDLING": "-2"}), ("onload", {"EF_NO_FAIL": "0"})]
)
def test_streams_pass_over_sockets_that_are_accelerated_and_nothing_is_noted(
    processes: Processes, shared: Path, port: int, name: str, switch: dict[str, str], seed: int
) -> None:
    driver = start(processes, shared, name, ON)
    lane = (driver.directory, driver.directory, f"aeron:udp?endpoint=127.0.0.1:{port}")
    exchange({"a stream": lane}, MIB, seed)
    wait_until(lambda: figures(driver).get("sockets-tx-datagrams"), "figures of sockets")
    assert figures(driver)["sockets-not-accelerated"] == 0
    assert figures(driver)["sockets-tx-segmented"] == 0, "an accelerator would send a run as one datagram"
    assert not [entry for entry in driver.errors() if "accelerate" in entry]
    assert switch.items() <= environment(driver).items()


@pytest.mark.parametrize(
    ("name", "settings", "told", "counted"),
    [
        ("vma", {VARIABLE: "kernel"}, "is not accelerated: VMA leaves it to the kernel", 2),
        ("onload", {"ONLOAD_STAND_IN": "kernel"}, "is not accelerated: Onload leaves it to the kernel", 2),
        ("xlio", {}, "whether XLIO accelerates it cannot be asked", 0),
    ],
)
def test_what_is_not_accelerated_is_told_of_each_endpoint(
    processes: Processes, shared: Path, port: int, name: str, settings: dict[str, str], told: str, counted: int
) -> None:
    driver = start(processes, shared, name, settings)
    with Client(driver.directory) as client:
        client.add_subscription(f"aeron:udp?endpoint=127.0.0.1:{port}", 7)
        client.add_publication(f"aeron:udp?endpoint=127.0.0.1:{port}", 7)
        assert len([entry for entry in driver.errors() if told in entry]) == 2, driver.errors()
        wait_until(lambda: figures(driver).get("sockets-not-accelerated") == counted, "the count")


def refused(name: str, library: Path | str, settings: Mapping[str, str]) -> str:
    environ = {key: value for key, value in os.environ.items() if key not in ON} | dict(settings)
    with pytest.raises(FramelaneError) as raised:
        check_preload(ACCELERATORS[name], str(library), environment_for(ACCELERATORS[name], str(library), environ))
    return str(raised.value)


def test_an_accelerator_that_makes_no_sockets_is_not_started_into() -> None:
    """As VMA without RDMA in the kernel, with its own switch and without."""
    text = refused("vma", build_preload("vma"), {VARIABLE: "refuse=19"})
    assert "a process with it ended with status 1" in text
    assert "VMA_EXCEPTION_HANDLING=-2 has the process end" in text
    text = refused("vma", build_preload("vma"), {VARIABLE: "refuse=19", "VMA_EXCEPTION_HANDLING": "-1"})
    assert "makes no UDP socket: No such device" in text
    assert "it needs a ConnectX adapter with RDMA in the kernel" in text


def test_a_library_that_is_absent_or_another_one_is_refused_with_the_next_step() -> None:
    assert "was not loaded" in refused("onload", "/nowhere/libonload.so", {})
    assert "does not answer to the interface of vma" in refused("vma", build_preload("vma"), {VARIABLE: "no_api"})
    assert "cannot stand in LD_PRELOAD" in refused("vma", "/a library/libvma.so", {})


def test_a_driver_that_is_refused_ends_with_the_reason(processes: Processes, shared: Path) -> None:
    library = str(build_preload("vma"))
    words = ["driver", "--dir", str(shared / "driver"), "--preload", "vma", "--preload-library", library]
    process = processes.start("driver", [FRAMELANE, *words], environment={VARIABLE: "refuse=19"})
    assert process.wait() == 1
    assert "the driver is not started, because its sockets would not be accelerated" in process.output
    assert not (shared / "driver").exists()


def test_a_preloaded_library_that_does_not_answer_is_an_obstacle_of_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    from framelane_sockets.plugin import probe
    from framelane_sockets.settings import SocketsSettings

    monkeypatch.setenv("LD_PRELOAD", "/opt/lib/libonload.so:/usr/lib/libjemalloc.so")
    (obstacle,) = probe(SocketsSettings()).obstacles
    assert obstacle.asked == "sockets accelerated by /opt/lib/libonload.so"
    assert "the kernel moves every datagram" in obstacle.found
