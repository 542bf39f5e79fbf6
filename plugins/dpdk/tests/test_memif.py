"""Two processes joined by net_memif: no root, no huge pages."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dpdk_port import Port, child_environment, frame
from framelane_dpdk._native import lib

from framelane_dpdk.settings import DpdkSettings
from support.processes import wait_until

FAR_END = Path(__file__).with_name("memif_far.py")
FLOOD = Path(__file__).with_name("memif_flood.py")
NOBODY = 65534


def start(script: Path, prefix: tuple[str, ...] = (), **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, str(script), json.dumps(settings)],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Have a process in the background, and at the end have it end."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    try:
        yield process
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_for_line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.stderr.read()


@contextlib.contextmanager
def far_end(prefix: tuple[str, ...] = (), **settings: Any) -> Iterator[subprocess.Popen[str]]:
    with running(start(FAR_END, prefix, **settings)) as process:
        wait_for_line(process)
        yield process


def memif(socket: Path, role: str, **arguments: Any) -> dict[str, Any]:
    return {"vdev": "net_memif", "vdev_args": {"role": role, "socket": str(socket), **arguments}}


def exchange(port: Port, sizes: list[int]) -> None:
    for size in sizes:
        sent = [frame(os.urandom(size - 14)) for _ in range(32)]
        # A server sends into buffers that its client offers, once that has polled.
        wait_until(lambda first=sent[0]: port.send(first) == 1, "room at the other end")
        assert port.send(*sent[1:]) == len(sent) - 1
        assert [one.data for one in port.receive(len(sent))] == [one[:14] + one[14:][::-1] for one in sent]


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_frames_cross_to_another_process_and_back(make_port: Callable[..., Port], tmp_path: Path, mtu: int) -> None:
    socket = tmp_path / "memif.sock"
    with far_end(**memif(socket, "server"), ip_mtu=mtu) as far:
        near = make_port(**memif(socket, "client"), ip_mtu=mtu, link_wait_ms=10_000)
        assert near.events() == []
        exchange(near, [60, 1000, mtu + 14] * 5)
        far.stdin.close()
        assert far.stdout.read() == f"{15 * 32}\n"
        assert far.wait() == 0


def test_an_end_with_smaller_buffers_gets_long_frames_in_one_piece(
    make_port: Callable[..., Port], tmp_path: Path
) -> None:
    socket = tmp_path / "memif.sock"
    # The client makes the ring, whose buffers are of 2048 bytes: a long frame is a chain of them.
    with far_end(**memif(socket, "server"), ip_mtu=9000):
        near = make_port(**memif(socket, "client", bsize=2048), ip_mtu=9000, link_wait_ms=10_000)
        exchange(near, [9014] * 3)


def test_the_link_goes_with_the_other_process_and_comes_back_with_the_next(
    make_port: Callable[..., Port], tmp_path: Path
) -> None:
    socket = tmp_path / "memif.sock"
    near = make_port(**memif(socket, "server"))
    (kind, text), *others = near.events()
    assert (kind, text, others) == (lib.FL_EVENT_LINK_DOWN, "net_memif0 has no link after 0 ms", [])
    for _ in range(2):
        with far_end(**memif(socket, "client")):
            wait_for_event(near, lib.FL_EVENT_LINK_UP)
            exchange(near, [100])
        wait_for_event(near, lib.FL_EVENT_LINK_DOWN)
        assert near.poll() == []


# A kill meets a burst under way every second time or so. A client takes five seconds to find the next server.
@pytest.mark.parametrize(("role", "other", "kills"), [("server", "client", 10), ("client", "server", 1)])
def test_an_end_survives_peers_that_are_killed_while_it_copies(
    tmp_path: Path, role: str, other: str, kills: int
) -> None:
    socket = tmp_path / "memif.sock"
    with running(start(FLOOD, **memif(socket, role), ip_mtu=9000)) as survivor:
        for _ in range(kills + 1):
            with running(start(FLOOD, **memif(socket, other), ip_mtu=9000)) as peer:
                wait_for_line(peer)
                assert survivor.poll() is None, f"ended with {survivor.returncode}"
                peer.kill()


def test_a_client_starts_before_its_server_and_finds_it_later(make_port: Callable[..., Port], tmp_path: Path) -> None:
    socket = tmp_path / "memif.sock"
    near = make_port(**memif(socket, "client"))
    assert [kind for kind, _ in near.events()] == [lib.FL_EVENT_LINK_DOWN]
    assert near.poll() == []
    assert near.alloc(1)[1] == 0
    with far_end(**memif(socket, "server")):
        wait_for_event(near, lib.FL_EVENT_LINK_UP)
        exchange(near, [100])
    assert near.host.log == []


def wait_for_event(port: Port, kind: int) -> None:
    def has_come() -> bool:
        assert port.housekeeping() == 0
        return kind in [one for one, _ in port.events()]

    wait_until(has_come, f"event {kind}")


@pytest.mark.root
def test_a_process_without_privileges_exchanges_frames(make_port: Callable[..., Port]) -> None:
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
    settings = {
        "vdev": "net_memif",
        "vdev_args": {"role": "server", "socket": f"framelane-test-{os.getpid()}", "socket-abstract": True},
    }
    with far_end(prefix, **settings):
        settings["vdev_args"] = {**settings["vdev_args"], "role": "client"}  # type: ignore[dict-item]
        exchange(make_port(**settings, link_wait_ms=10_000), [60, 1514])


def test_a_value_that_could_reach_another_argument_is_refused() -> None:
    with pytest.raises(ValueError, match=r"socket = .*expected text without white space, commas"):
        DpdkSettings(vdev="net_memif", vdev_args={"socket": "/run/a.sock,zero-copy=yes"})


def test_a_floor_whose_directory_was_removed_says_so(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    source = f"""
from pathlib import Path
from framelane.errors import TransportError
from framelane_dpdk.bench import arrangements
directory = Path({str(tmp_path / "gone")!r})
memif = arrangements(directory)[1]
try:
    memif.ends[0].floor()
except TransportError as error:
    print(error)
directory.mkdir()
memif.ends[0].floor().close()
"""
    done = run_python(source)
    (said,) = done.stdout.splitlines()
    asked = f"net_memif9,role=server,socket={tmp_path}/gone/floor.sock,socket-abstract=no"
    assert said.startswith(f"floor: DPDK does not open {asked}: Invalid argument; DPDK says: ")
    assert "Invalid socket directory" in said
    assert said.endswith(
        f"; next: {tmp_path}/gone was removed while the benchmark needed it; measure again, and leave it alone"
    )
    assert (done.returncode, done.stderr) == (0, "")
