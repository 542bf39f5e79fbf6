"""Wireshark's own reading of what two drivers say to each other (issue: seen 3)."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.drivers import start_driver
from support.namespaces import Link
from support.processes import Processes
from support.transfers import faults, move_file

MIB = 1024 * 1024
PORT = 40123
FRAMES = ("data", "pad", "heartbeat", "nak", "sm", "setup", "rtt", "err")


@dataclass(frozen=True)
class Packet:
    """What tshark makes of a packet."""

    protocols: str
    expert: str
    frames: dict[str, int]  #: how many of each type, by the dissector's names


def dissect(path: Path) -> list[Packet]:
    fields = ["frame.protocols", "_ws.expert.message", *(f"aeron.{name}.type" for name in FRAMES)]
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={PORT},aeron", "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    packets = []
    for line in done.stdout.splitlines():
        protocols, expert, *types = (line + "\t" * len(fields)).split("\t")[: len(fields)]
        frames = {name: len(found.split(",")) for name, found in zip(FRAMES, types, strict=True) if found}
        packets.append(Packet(protocols, expert, frames))
    return packets


@pytest.mark.root
@pytest.mark.programs("tshark")
def test_tshark_decodes_every_frame_and_finds_none_malformed(
    processes: Processes, shared: Path, link: Link, seed: int
) -> None:
    capture = shared / "wire.pcap"
    left = start_driver(
        processes,
        shared / "left",
        name="left",
        namespace=link.left,
        settings=faults(0.01, seed) | {"FRAMELANE_DEBUG_CAPTURE": str(capture)},
    )
    right = start_driver(processes, shared / "right", name="right", namespace=link.right)
    move_file(processes, shared, left, right, f"aeron:udp?endpoint={link.right_address}:{PORT}", 8 * MIB, seed, 60)
    left.stop()

    packets = dissect(capture.with_name("wire-sockets.pcap"))
    assert len(packets) > 8 * MIB / 1408
    seen: Counter[str] = Counter()
    for packet in packets:
        assert ":udp:aeron" in packet.protocols, packet
        assert "alformed" not in packet.expert and "Invalid" not in packet.expert, packet
        assert packet.frames, packet
        seen.update(packet.frames)
    assert {"data", "nak", "sm", "setup"} <= set(seen), seen
    print(dict(seen))
