"""The stand-in for libciul: programs against the ef_vi interface, in a process each.

``ciul_scenarios.c``, ``ciul_filters.c``, ``ciul_faults.c`` and ``ciul_misuse.c`` hold them; misuse must abort, with a
text that says what was done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.namespaces import Link, linked_namespaces
from support.vendor import build_ciul

HERE = Path(__file__).parent
RINGS = ("sfn8522", "x2522")
SHARED = ("x3522",)
MODELS = (*RINGS, *SHARED, "x4")


#: What ``tools/sanitize`` sets, and what the compiler calls it.
SANITIZERS = {"address": "address,undefined", "thread": "thread"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sanitizers = SANITIZERS.get(os.environ.get("FRAMELANE_SANITIZE", ""))
    built = build_ciul(sanitizers)
    path = tmp_path_factory.mktemp("ciul") / "scenarios"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
    flags += [] if sanitizers is None else [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=undefined"]
    sources = [f"-I{built}/include", *HERE.glob("ciul_*.c"), built / "lib" / "libciul1.a"]
    done = subprocess.run(["cc", *flags, *sources, "-o", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


class Wire:
    """Adapters "left" and "right" on one wire in memory."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder

    def environment(self, model: str, words: str = "", **extra: str) -> dict[str, str]:
        wire = f"model={model} wire=memory:{self._folder} {words}"
        return {
            "PATH": os.environ["PATH"],
            "FRAMELANE_CIUL": f"left index=901 {wire}; right index=902 {wire}",
            "FRAMELANE_CIUL_CONTROL": str(self._folder / "control"),
            **extra,
        }

    def run(self, scenario: str, model: str, words: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, scenario],
            env=self.environment(model, words, **extra),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, scenario: str, model: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._program, scenario], env=self.environment(model, **extra), stdout=subprocess.PIPE, text=True
        )


@pytest.fixture
def wire(program: Path, tmp_path: Path) -> Wire:
    return Wire(program, tmp_path)


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scenario", ["both_ways", "timestamps", "primed", "duplicates", "handed_over", "vlan", "ip6"])
def test_every_model_does_it(wire: Wire, scenario: str, model: str) -> None:
    check(wire.run(scenario, model))


@pytest.mark.parametrize(
    "scenario",
    ["merged", "refill_waits_for_eight", "limits", "page_boundary", "scattered", "pio", "specific_filters_first"],
)
def test_descriptor_rings_do_it(wire: Wire, scenario: str) -> None:
    check(wire.run(scenario, "x2522"))


@pytest.mark.parametrize("scenario", ["held_packets", "credits", "others"])
def test_shared_queues_do_it(wire: Wire, scenario: str) -> None:
    check(wire.run(scenario, "x3522"))


def test_an_x4_has_shared_queues_on_its_express_datapath(wire: Wire) -> None:
    check(wire.run("express", "x4"))


@pytest.mark.parametrize("model", ["x2522", "x3522"])
def test_ctpio_sends_and_says_so(wire: Wire, model: str) -> None:
    check(wire.run("ctpio", model))


def test_ctpio_falls_back_to_the_posted_frame(wire: Wire) -> None:
    check(wire.run("ctpio", "x2522", "ctpio-fails=1", FELL_BACK="1"))


def test_only_dma_computes_checksums_and_wrong_ones_are_discarded(wire: Wire) -> None:
    check(wire.run("checksum_offload", "x2522"))


def test_merged_events_tell_discards_apart(wire: Wire) -> None:
    check(wire.run("merged_discards", "x2522", "discard=crc:2"))


@pytest.mark.parametrize("model", ["x2522", "x3522"])
def test_two_processes_share_a_wire(wire: Wire, model: str) -> None:
    with wire.start("echo", model, INTERFACE="right") as far:
        assert far.stdout is not None and far.stdout.readline() == "ready\n"
        check(wire.run("ask", model, INTERFACE="left"))
        assert far.wait(30) == 0


# ---- faults ----


@pytest.mark.parametrize("model", ["x2522", "x3522"])
@pytest.mark.parametrize("scenario", ["stalled", "lost", "tx_error"])
def test_a_fault_comes_and_goes_with_the_control_file(wire: Wire, scenario: str, model: str) -> None:
    check(wire.run(scenario, model))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("clock=set", 1), ("clock=unset", 0), ("clock=unknown", -42), ("clock=lost", -45)],
)
def test_a_clock_that_is_not_in_sync_is_told(wire: Wire, words: str, wanted: int) -> None:
    check(wire.run("timestamps", "x2522", words, WANTED=str(wanted)))


@pytest.mark.parametrize(
    ("reason", "subtype"), [("crc", 2), ("length", 3), ("l3", 0), ("l4", 0), ("inner", 7), ("other", 6)]
)
@pytest.mark.parametrize("model", ["x2522", "x3522"])
def test_a_discard_has_its_reason(wire: Wire, model: str, reason: str, subtype: int) -> None:
    check(wire.run("discarded", model, f"discard={reason}:2", WANTED=str(subtype)))


@pytest.mark.parametrize(
    ("model", "words", "error"),
    [
        ("x2522", "pd=ENODEV", -19),
        ("x2522", "vi=EACCES", -13),
        ("x2522", "licence=none", -1),
        ("x2522", "filter=EBUSY", -16),
        ("x2522", "lost=1", -19),
        ("x3522", "hugepages=0", -12),
    ],
)
def test_a_refusal_has_its_error(wire: Wire, model: str, words: str, error: int) -> None:
    check(wire.run("refused", model, words, WANTED=str(error)))


def test_without_a_driver_or_its_permission_nothing_opens(wire: Wire) -> None:
    check(wire.run("refused", "x2522", FRAMELANE_CIUL="", WANTED="-2"))
    check(wire.run("refused", "x2522", FRAMELANE_CIUL="* open=EACCES", WANTED="-13"))


def test_an_interface_that_is_no_adapter_is_no_device(wire: Wire) -> None:
    check(wire.run("refused", "x2522", FRAMELANE_CIUL="other index=7", WANTED="-19"))


def test_a_small_licence_takes_merged_events_only(wire: Wire) -> None:
    check(wire.run("licence", "x2522", "licence=merge"))


def test_without_event_credits_nothing_is_sent(wire: Wire) -> None:
    check(wire.run("no_credits", "x3522", "no-credits=1"))


# ---- misuse ----


@pytest.mark.parametrize(
    ("scenario", "model", "text"),
    [
        ("use_after_free", "x2522", "a virtual interface is used after ef_vi_free"),
        ("double_release", "x2522", "it was given back twice"),
        ("double_release", "x3522", "is not lent: it was released before"),
        ("get_after_release", "x3522", "efct_vi_rxpkt_get: packet 0 is not lent"),
        ("write_after_post", "x2522", "buffer 0 was written at byte 100 while it was the adapter's"),
        ("write_before_completion", "x2522", "the buffer of request 64 was written before its completion"),
        ("push_of_nothing", "x2522", "there is nothing to push"),
        ("no_fallback", "x2522", "the CTPIO send before it has had no fallback"),
        ("unaligned", "x2522", "is not aligned to 64 bytes"),
        ("unaligned_region", "x2522", "are no pages of 4096"),
        ("unregistered", "x2522", "is in no registered memory"),
        ("unregistered", "x3522", "is in no registered memory"),
        ("across_pages", "x2522", "leave what is contiguous there, 1024 bytes"),
        ("send_across_pages", "x2522", "is in no registered memory"),
        ("stale_timestamp", "x2522", "no packet of the last poll begins at"),
        ("freed_domain", "x2522", "1 virtual interfaces still use the protection domain"),
        ("two_pollers", "x2522", "two threads take turns on one event queue"),
        ("two_pollers", "x3522", "two threads take turns on one event queue"),
        ("overlapping_threads", "x2522", "is inside the virtual interface at the same time as thread"),
        ("overrun", "x2522", "can raise 514 events and overrun an event queue for 511"),
        ("unbundled_twice", "x2522", "the event was unbundled before"),
    ],
)
def test_misuse_aborts_and_says_what_was_done(wire: Wire, scenario: str, model: str, text: str) -> None:
    done = wire.run(scenario, model)
    assert done.returncode == -signal.SIGABRT, done.stderr
    assert text in done.stderr


# ---- on an interface, beside a kernel ----


class Host:
    """The right end of a veth pair, with a stand-in on its interface; the left end is a kernel's."""

    def __init__(self, program: Path, link: Link) -> None:
        self.link = link
        self._program = program

    def sink(self, address: str, scenario: str = "sink", model: str = "x2522") -> subprocess.Popen[str]:
        """Start a program that counts what it receives at an address, and wait until it is there."""
        sink = subprocess.Popen(
            ["ip", "netns", "exec", self.link.right, self._program, scenario],
            env={
                "PATH": os.environ["PATH"],
                "FRAMELANE_CIUL": f"eth0 model={model}",
                "INTERFACE": "eth0",
                "ADDRESS": address,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sink.stdout is not None and sink.stdout.readline() == "ready\n"
        return sink

    def _inside(self, *words: str) -> str:
        command = ["ip", "netns", "exec", self.link.right, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

    def classifiers(self) -> int:
        """How many filters the kernel drops something for."""
        return self._inside("tc", "filter", "show", "dev", "eth0", "ingress").count(" handle ")

    def no_ports(self) -> int:
        """How many datagrams the kernel got for ports that nobody has."""
        lines = [line.split() for line in self._inside("cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
        return int(dict(zip(*lines, strict=True))["NoPorts"])

    def send(self, port: int, count: int) -> None:
        """Send datagrams from the left host's kernel."""
        text = (
            "import socket\n"
            "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n"
            f"    for i in range({count}): one.sendto(bytes(64), ('{self.link.right_address}', {port}))\n"
        )
        command = ["ip", "netns", "exec", self.link.left, "python3", "-c", text]
        subprocess.run(command, check=True, timeout=30)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    assert holds()


@pytest.fixture
def host(program: Path) -> Iterator[Host]:
    with linked_namespaces() as link:
        for name in (link.left, link.right):
            off = ["ethtool", "-K", "eth0", "tx", "off", "txvlan", "off", "rxvlan", "off"]
            subprocess.run(["ip", "netns", "exec", name, *off], check=True, capture_output=True, timeout=30)
        yield Host(program, link)


@pytest.mark.root
def test_the_kernel_never_sees_what_a_filter_steals(host: Host) -> None:
    with host.sink(host.link.right_address) as sink:
        assert sink.stdout is not None and sink.stdin is not None
        host.send(40123, 20)
        assert [sink.stdout.readline() for _ in range(20)] == [f"{i}\n" for i in range(1, 21)]
        # What comes behind it is the kernel's: all before it has gone by.
        host.send(40124, 1)
        until(lambda: host.no_ports() >= 1)
        assert host.no_ports() == 1
        sink.stdin.close()
        assert sink.wait(30) == 0
    assert host.classifiers() == 0
    host.send(40123, 3)
    until(lambda: host.no_ports() == 4)


@pytest.mark.root
def test_what_a_killed_process_stole_is_given_back_at_the_next_opening(host: Host) -> None:
    with host.sink(host.link.right_address) as sink:
        assert host.classifiers() == 1
        sink.kill()
        sink.wait(30)
    assert host.classifiers() == 1
    with host.sink("10.77.0.9") as sink:
        assert host.classifiers() == 1
        host.send(40123, 2)
        until(lambda: host.no_ports() == 2)
        assert sink.stdin is not None
        sink.stdin.close()
        assert sink.wait(30) == 0
    assert host.classifiers() == 0


@pytest.mark.root
def test_a_multicast_group_is_replicated_and_not_stolen(host: Host) -> None:
    with host.sink("239.1.2.3") as sink:
        assert host.classifiers() == 0
        assert sink.stdin is not None
        sink.stdin.close()
        assert sink.wait(30) == 0


@pytest.mark.root
def test_an_interface_that_is_deleted_resets_its_virtual_interfaces(host: Host) -> None:
    with host.sink(host.link.right_address) as sink, host.sink("", "source") as source:
        host.link.delete_pair()
        assert sink.wait(30) == 1, "the scenario ends at an event that is no packet"
        assert source.wait(30) == 0
