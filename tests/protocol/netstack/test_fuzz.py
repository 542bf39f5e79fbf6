"""Mutated frames into a netstack: nothing breaks, a valid stream stays intact, and every frame is counted once.

``make sanitize`` runs this on a module built with AddressSanitizer and UndefinedBehaviorSanitizer.
"""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from framelane._native import ffi, lib
from framelane.transport.address import Address
from support.netstack import MAC, PEER, PEER6, PEER_MAC, PORT, SELF, SELF6, Netstack

BATCH = 64
ETHER = Ether(src=PEER_MAC, dst=MAC)
V4 = IP(src=PEER, dst=SELF)
V6 = IPv6(src=PEER6, dst=SELF6)
TO = UDP(sport=7, dport=PORT) / Raw(b"mutated" * 9)
SEEDS = [
    bytes(frame)
    for frame in (
        ETHER / V4 / TO,
        ETHER / V4 / UDP(sport=7, dport=PORT, chksum=0) / Raw(b"without a sum"),
        ETHER / IP(src=PEER, dst=SELF, options=[IPOption_RR(routers=["1.2.3.4"])]) / TO,
        ETHER / Dot1Q(vlan=0) / V4 / TO,
        ETHER / V6 / TO,
        ETHER / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TO,
        ETHER / V6 / IPv6ExtHdrFragment() / TO,
        ETHER / V4 / TCP(dport=PORT),
        ETHER / V4 / ICMP() / Raw(bytes(40)),
        ETHER / IPv6(src=PEER6, dst=SELF6, hlim=255) / ICMPv6ND_NS(tgt=SELF6),
        ETHER / ARP(op=1, psrc=PEER, pdst=SELF, hwsrc=PEER_MAC),
        Ether(src=PEER_MAC, dst="01:00:5e:01:02:03") / IP(src=PEER, dst="239.1.2.3") / TO,
    )
]
#: The valid stream comes from a port of its own, which no seed has and few mutations hit.
STREAM = Address.of(PEER, 61234)
#: What is counted besides the fate of a received frame.
NOT_A_FATE = ("rx-bytes", "tx-", "arp-miss", "neighbour-", "multicast-reports", "duplicate-address")


def fates(stack: Netstack) -> int:
    """Return how many frames have been counted as delivered or dropped."""
    return sum(value for name, value in stack.counts().items() if not name.startswith(NOT_A_FATE))


def attack(stack: Netstack, inputs: int, seed: int) -> tuple[int, list[bytes], list[bytes]]:
    """Send mutated frames with a valid one behind each batch.

    :returns: how many frames were put in, what the valid stream sent, and what came of it.
    """
    station, ops, port = stack.station, stack.station.ops, stack.port
    station.open(bind=Address.of(SELF, PORT))
    station.open(bind=Address.of(SELF6, PORT))
    flags = lib.FL_ENDPOINT_REUSE_ADDRESS
    station.open(bind=Address.of("239.1.2.3", PORT), interface=Address.of(SELF), flags=flags)
    state = ffi.new("uint64_t *", seed)
    runs = ffi.new("fl_run_t[]", BATCH)
    frames = [ffi.from_buffer("uint8_t[]", frame) for frame in SEEDS]
    sent: list[bytes] = []
    got: list[bytes] = []
    put = 0
    while put < inputs:
        frame = frames[put // BATCH % len(frames)]
        put += lib.fl_memory_port_inject_mutated(port.native, 0, frame, len(frame), BATCH - 1, 4, state)
        data = len(sent).to_bytes(8) * 4
        sent.append(data)
        valid = bytes(ETHER / V4 / UDP(sport=STREAM.port, dport=PORT) / Raw(data)) if len(sent) < 3 else None
        if valid is None:
            # The same frame as scapy makes, without its checksum: scapy is too slow for millions.
            valid = PREFIX + bytes(2) + data
        port.inject(valid)
        put += 1
        while (count := ops.poll(station.poller, runs, BATCH)) > 0:
            for i in range(count):
                run = runs[i]
                if run.peer.address.port == STREAM.port and run.length == 32:
                    got.append(bytes(ffi.buffer(run.data, run.length)))
            ops.release(station.poller, runs, count)
        assert count == 0, f"poll: {count}"
        stack.port.take_all() if put % (BATCH * 16) == 0 else None
    return put, sent, got


PREFIX = bytes(ETHER / V4 / UDP(sport=STREAM.port, dport=PORT) / Raw(bytes(32)))[:40]


def check(stack: Netstack, inputs: int, seed: int, *, counts_all: bool) -> None:
    put, sent, got = attack(stack, inputs, seed)
    assert set(got) <= set(sent), "a datagram of the stream was changed"
    assert got == sent, "the stream is not intact"
    totals = stack.port.totals()
    assert (totals.overflows, totals.held, totals.double_releases) == (0, 0, 0)
    assert totals.released == put
    if counts_all:
        assert fates(stack) == put, stack.counts()
    print(f"{put} frames: {stack.counts()}")


@pytest.mark.parametrize("mode", ["kernel", "own"])
def test_mutated_frames_are_dropped_under_their_reasons(mode: str, seed: int) -> None:
    with netstack_in(mode) as stack:
        check(stack, 100_000, seed, counts_all=mode == "kernel")


@pytest.mark.acceptance
@pytest.mark.parametrize("mode", ["kernel", "own"])
def test_ten_million_mutated_frames_are_dropped_under_their_reasons(mode: str, seed: int) -> None:
    with netstack_in(mode) as stack:
        check(stack, 5_000_000, seed, counts_all=mode == "kernel")


def netstack_in(mode: str) -> Netstack:
    chosen = lib.FL_NETSTACK_KERNEL if mode == "kernel" else lib.FL_NETSTACK_OWN
    return Netstack(netstack={"mode": chosen}, ring_length=256)
