"""What the transport counts and refuses, over the stand-in for libvma."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framelane._native import lib
from framelane.errors import NativeError, TransportError
from framelane.testing import Family, Station, TransportPair
from framelane.testing.conformance.pair import RECEIVER, SENDER
from framelane.testing.station import Run
from framelane.transport.address import Address
from framelane.transport.native import open_transport
from framelane.transport.probe import run_probes
from framelane.transport.registry import discover
from framelane_sockets.plugin import framelane_transport as sockets
from framelane_vma.plugin import framelane_transport as vma
from framelane_vma.settings import VmaSettings
from support.transport_pairs import open_plugin, start_far
from support.vma import STAND_IN_WORDS, VARIABLE

LOOPBACK = Family("127.0.0.1", "127.0.0.1", group="239.20.90.1", absent="192.0.2.1")


@pytest.fixture
def pair(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TransportPair]:
    """The near end on VMA, the far one on the kernel's sockets."""
    monkeypatch.setenv(VARIABLE, STAND_IN_WORDS)

    def open_near():
        return open_plugin("vma", {"library": str(library), "interfaces": ("lo",)})

    pair = TransportPair(
        near=Station(open_near()), far=Station(open_transport(sockets())), reopen=open_near, ipv4=LOOPBACK
    )
    yield pair
    pair.close()


def test_bytes_are_counted_by_how_they_came(pair: TransportPair) -> None:
    near = pair.near.open(role=RECEIVER, bind=Address.of("127.0.0.1"), receive_buffer_length=1 << 20)
    far = pair.far.open(role=SENDER, bind=Address.of("127.0.0.1"), peer=near.local)
    for _ in range(10):
        far.send_all([Run(bytes(1000)), Run(bytes(20_000))])
        near.receive(2)
    figures = pair.near.transport.stats()
    assert figures["vma-rx-zero-copy-bytes"] + figures["vma-rx-data-copy-bytes"] == 10 * 21_000
    assert figures["vma-rx-zero-copy-bytes"] % 1000 == 0 and figures["vma-rx-zero-copy-bytes"] > 0
    assert figures["vma-rx-gathered"] > 0, "the longer ones came in pieces"
    assert figures["vma-rx-datagrams"] == 20
    assert figures["vma-rx-held"] == figures["vma-rx-not-freed"] == 0
    assert (figures["vma-transports"], figures["vma-not-offloaded"]) == (1, 0)


def test_a_run_that_is_not_released_keeps_its_endpoint_open(pair: TransportPair) -> None:
    near = pair.near.open(role=RECEIVER, bind=Address.of("127.0.0.1"))
    far = pair.far.open(role=SENDER, bind=Address.of("127.0.0.1"), peer=near.local)
    far.send_all([Run(b"held")] * 4)  # of five one is copied
    runs = []
    while len(runs) < 4:
        runs += pair.near.poll()
    pair.near.remove(near)
    assert pair.near.ops.close_endpoint(near.native) == -lib.FL_EBUSY
    pair.near.release(runs)
    near.close()


def test_a_connected_endpoint_drops_what_the_steering_of_vma_lets_through(library: Path) -> None:
    """VMA steers by address and port alone, unless it is told otherwise."""
    near = Station(open_transport(sockets()))
    far = start_far("vma", {"library": str(library), "interfaces": ["lo"]}, (f"{VARIABLE}=three_tuple",))
    try:
        peer, stranger = (near.open(role=SENDER, bind=Address.of("127.0.0.1")) for _ in range(2))
        connected = far.open(role=SENDER, bind=Address.of("127.0.0.1"), peer=peer.local, flags=lib.FL_ENDPOINT_CONNECT)
        stranger.send_all([Run(b"stranger", peer=connected.local)])
        peer.send_all([Run(b"peer", peer=connected.local)])
        assert [one.data for one in connected.receive(1)] == [b"peer"]
        connected.send_all([Run(b"back")])
        assert [one.data for one in peer.receive(1)] == [b"back"]
    finally:
        far.close()
        near.close()


@pytest.mark.usefixtures("pair")
def test_settings_that_the_library_has_read_cannot_change(library: Path) -> None:
    with pytest.raises(TransportError, match="VMA_SPEC cannot change; restart"):
        open_transport(vma(), VmaSettings(library=str(library), spec="latency"))


@pytest.mark.usefixtures("pair")
def test_another_library_is_refused_while_one_is_loaded(library: Path, tmp_path: Path) -> None:
    other = shutil.copy(library, tmp_path)
    with pytest.raises(TransportError, match=r"this process has loaded .*, and has one VMA only"):
        open_transport(vma(), VmaSettings(library=str(other)))


def test_what_a_full_ring_refuses_is_sent_again_and_nothing_is_lost(library: Path) -> None:
    near = Station(open_transport(sockets()))
    with_faults = (f"{VARIABLE}=on,tx_full_every=3",)
    far = start_far("vma", {"library": str(library), "interfaces": ["lo"]}, with_faults)
    try:
        receiver = near.open(role=RECEIVER, bind=Address.of("127.0.0.1"), receive_buffer_length=1 << 20)
        sender = far.open(role=SENDER, bind=Address.of("127.0.0.1"), peer=receiver.local)
        sent = [number.to_bytes(2) * 50 for number in range(200)]
        sender.send_all([Run(b"".join(sent), 100)])
        assert [one.data for one in receiver.receive(len(sent))] == sent
    finally:
        far.close()
        near.close()


def probe_with(words: str, library: Path, monkeypatch: pytest.MonkeyPatch, **settings: object):
    monkeypatch.setenv(VARIABLE, words)
    plugin = discover().plugins["vma"]
    chosen = VmaSettings(library=str(library), interfaces=("lo",), **settings)
    return run_probes([plugin], {"vma": chosen})["vma"]


def test_the_verdict_says_that_it_is_the_stand_in(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = probe_with("on", library, monkeypatch)
    assert verdict.usable
    assert "is not VMA but the stand-in" in {fact.name: fact.value for fact in verdict.facts}["stand-in"]
    assert [device.name for device in verdict.devices or ()] == ["lo"]


def test_a_library_that_refuses_sockets_is_found_out_by_the_probe(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = probe_with("refuse=19", library, monkeypatch)
    assert not verdict.usable
    (obstacle,) = verdict.obstacles
    assert obstacle.found == "its socket() returns -1: No such device (ENODEV)"


SETTINGS = """
import sys
from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing import Station
from framelane.testing.station import Run
from framelane.transport.address import Address
from support.transport_pairs import open_plugin
settings = {"library": sys.argv[1], "interfaces": ("lo",)}
"""
NOT_OFFLOADED = """
with Station(open_plugin("vma", settings)) as station:
    endpoint = station.open(bind=Address.of("127.0.0.1"))
    (line,) = station.transport.host.log_lines()
    assert line.level == lib.FL_LOG_WARNING and "is not offloaded" in line.text, line
    assert station.transport.stats()["vma-not-offloaded"] == 1
    endpoint.close()
with Station(open_plugin("vma", settings | {"require_offload": True})) as station:
    try:
        station.open(bind=Address.of("127.0.0.1"))
    except NativeError as error:
        assert error.code == lib.FL_EADDRNOTAVAIL and "require_offload is set" in str(error), error
    else:
        sys.exit("it was opened")
"""
FOUND_OUT_LATER = """
with Station(open_plugin("vma", settings)) as station:
    peer = station.open(bind=Address.of("127.0.0.1"))
    endpoint = station.open(bind=Address.of("127.0.0.1"), peer=peer.local, flags=lib.FL_ENDPOINT_CONNECT)
    assert station.transport.stats()["vma-not-offloaded"] == 0
    assert not list(station.transport.host.log_lines())
    endpoint.send_all([Run(b"first")])
    assert station.transport.stats()["vma-not-offloaded"] == int(sys.argv[2])
    assert ["has no ring to send from it" in line.text for line in station.transport.host.log_lines()] == (
        [True] * int(sys.argv[2])
    )
    peer.close()
    endpoint.close()
"""


@pytest.mark.parametrize(
    ("words", "program", "argument"),
    [
        ("kernel", NOT_OFFLOADED, ""),
        ("late_rings=kernel", FOUND_OUT_LATER, "1"),
        ("late_rings=ring", FOUND_OUT_LATER, "0"),
    ],
)
def test_what_is_not_offloaded_is_a_warning_or_refused_as_soon_as_vma_knows(
    library: Path, monkeypatch: pytest.MonkeyPatch, words: str, program: str, argument: str
) -> None:
    """In a process of its own, because the library reads what it is to do once."""
    monkeypatch.setenv(VARIABLE, words)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "tests"))
    command = [sys.executable, "-c", SETTINGS + program, library, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("pair")
def test_the_rest_of_the_process_keeps_the_kernels_calls(library: Path) -> None:
    def address(where: str | None) -> int | None:
        return ctypes.cast(ctypes.CDLL(where).socket, ctypes.c_void_p).value

    assert address(None) != address(str(library))


def test_ipv6_is_refused_with_the_reason(pair: TransportPair) -> None:
    with pytest.raises(NativeError, match="VMA has IPv4 only"):
        pair.near.open(bind=Address.of("::1"))
