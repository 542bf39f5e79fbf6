"""The control protocols of the netstack in own mode, for tests: frames in, frames out, a virtual clock.

The C sources of the netstack and ``core/c/tests/control_harness.c`` are built into a shared object, for a sanitizer if
the interpreter runs with one preloaded.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cffi import FFI
from scapy.layers.inet6 import ICMPv6MLDMultAddrRec, ICMPv6MLReport2
from scapy.layers.l2 import Ether
from scapy.packet import Packet

import framelane_abi

CORE = Path(__file__).parents[2] / "core" / "c"
SECOND = 1_000_000_000
TICK = SECOND // 10

NONE, INCOMPLETE, REACHABLE, STALE, PROBE, FAILED, PERMANENT = range(7)

DECLARATIONS = """
typedef struct { uint8_t family; uint8_t reserved; uint16_t port; uint32_t scope_id; uint8_t bytes[16]; } fl_address_t;
typedef struct { fl_address_t address; uint32_t prefix_length; uint32_t reserved; } fl_interface_address_t;
typedef struct { fl_address_t address; uint8_t mac[6]; uint16_t state; int64_t used_ns; } fl_netstack_neighbour_t;
typedef struct harness harness_t;
harness_t *harness_new(const uint8_t *mac, uint32_t mtu_length, int64_t reachable_ns, uint32_t neighbour_capacity);
void harness_free(harness_t *harness);
int harness_set_addresses(harness_t *harness, const fl_interface_address_t *addresses, uint32_t count);
void harness_set_random(harness_t *harness, uint64_t value);
void harness_set_room(harness_t *harness, uint32_t frames);
void harness_start(harness_t *harness, int64_t now_ns);
int harness_tick(harness_t *harness, int64_t now_ns);
void harness_input(harness_t *harness, const uint8_t *frame, uint32_t length, int64_t now_ns);
void harness_resolve(harness_t *harness, const fl_address_t *next_hop, int64_t now_ns);
int harness_join(harness_t *harness, const fl_address_t *group, int64_t now_ns);
void harness_leave(harness_t *harness, const fl_address_t *group, int64_t now_ns);
uint32_t harness_use(harness_t *harness, const fl_address_t *next_hop, int64_t now_ns, uint8_t *mac);
uint32_t harness_neighbours(harness_t *harness, fl_netstack_neighbour_t *lines, uint32_t capacity);
uint64_t harness_generation(harness_t *harness);
uint32_t harness_emitted(harness_t *harness);
uint32_t harness_frame(harness_t *harness, uint32_t index, uint8_t *frame);
void harness_forget_frames(harness_t *harness);
const char *harness_log(harness_t *harness);
int64_t harness_count(harness_t *harness, uint32_t count);
const char *harness_count_name(uint32_t count);
"""


def build_library(folder: Path) -> Any:
    """Build the shared object in the folder and return it as a cffi library together with its FFI."""
    preloaded = os.environ.get("LD_PRELOAD", "")
    flags = ["-O1"]
    if "libasan" in preloaded:
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    elif "libtsan" in preloaded:
        flags += ["-fsanitize=thread"]
    source = CORE / "src"
    leaves = ["addresses", "arp", "checksum", "control", "control_frame", "icmp", "igmp", "membership"]
    leaves += ["membership_message", "mld", "ndp", "neighbours", "parse", "routes"]
    sources = [source / "netstack" / f"{name}.c" for name in leaves]
    target = folder / "control_stack.so"
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", *flags]
    command += [f"-I{framelane_abi.get_include()}", f"-I{source}", "-o", str(target)]
    command += [str(path) for path in [CORE / "tests" / "control_harness.c", source / "util" / "error.c", *sources]]
    # The compiler is no place for the preloaded sanitizer.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    return ffi, ffi.dlopen(str(target))


class ControlStack:
    """One interface with its protocols. Time begins at 1000 s and passes only in :meth:`pass_time`."""

    def __init__(
        self,
        library: tuple[FFI, Any],
        addresses: Iterable[str],
        *,
        mac: str = "02:00:00:00:00:01",
        mtu: int = 1500,
        reachable_ns: int = 0,
        neighbour_capacity: int = 64,
        random: int = 0,
    ) -> None:
        self._ffi, self._library = library
        self.mac = mac
        self.now_ns = 1000 * SECOND
        self._stack = self._library.harness_new(_mac(mac), mtu, reachable_ns, neighbour_capacity)
        self.set_addresses(addresses)
        self.set_random(random)

    def close(self) -> None:
        self._library.harness_free(self._stack)

    def set_addresses(self, addresses: Iterable[str]) -> None:
        """Replace the addresses, written with their prefix lengths: ``10.0.0.1/24``."""
        interfaces = [ipaddress.ip_interface(text) for text in addresses]
        lines = self._ffi.new("fl_interface_address_t[]", max(1, len(interfaces)))
        for line, interface in zip(lines, interfaces, strict=False):
            line.address = self._address(str(interface.ip))[0]
            line.prefix_length = interface.network.prefixlen
        assert self._library.harness_set_addresses(self._stack, lines, len(interfaces)) == 0

    def set_random(self, value: int) -> None:
        """Choose what the random generator says from now on."""
        self._library.harness_set_random(self._stack, value)

    def set_room(self, frames: int = 0xFFFFFFFF) -> None:
        """Choose how many more frames the port takes."""
        self._library.harness_set_room(self._stack, frames)

    def start(self) -> None:
        self._library.harness_start(self._stack, self.now_ns)

    def receive(self, frame: Packet | bytes, times: int = 1) -> None:
        raw = bytes(frame)
        for _ in range(times):
            self._library.harness_input(self._stack, raw, len(raw), self.now_ns)

    def take_in(self, frame: bytes) -> None:
        self.receive(frame)

    def pass_time(self, seconds: float, *, use: str | None = None) -> list[tuple[float, Packet]]:
        """Let time pass in ticks; with ``use``, something is sent to that next hop in each.

        :returns: what was sent meanwhile, with the seconds passed.
        """
        sent = []
        for turn in range(1, round(seconds * SECOND / TICK) + 1):
            self.tick(use)
            sent += [(turn * TICK / SECOND, packet) for packet in self.sent()]
        return sent

    def tick(self, use: str | None = None) -> None:
        """Let a tenth of a second pass."""
        self.now_ns += TICK
        if use is not None:
            self.use(use)
        self._library.harness_tick(self._stack, self.now_ns)

    def sent(self) -> list[Packet]:
        """Take the frames sent since the last call, decoded by scapy, their lengths and checksums verified by it."""
        return [verified(raw) for raw in self.sent_bytes()]

    def sent_bytes(self) -> list[bytes]:
        buffer = self._ffi.new("uint8_t[1514]")
        frames = []
        for index in range(self._library.harness_emitted(self._stack)):
            length = self._library.harness_frame(self._stack, index, buffer)
            frames.append(bytes(self._ffi.buffer(buffer, length)))
        self._library.harness_forget_frames(self._stack)
        return frames

    def resolve(self, address: str) -> None:
        self._library.harness_resolve(self._stack, self._address(address), self.now_ns)

    def use(self, address: str) -> tuple[int, str]:
        """Look a neighbour up as a poller does that sends to it. Returns state and MAC address."""
        mac = self._ffi.new("uint8_t[6]")
        state = self._library.harness_use(self._stack, self._address(address), self.now_ns, mac)
        return state, bytes(mac).hex(":")

    def neighbours(self) -> dict[str, tuple[int, str]]:
        """The table: address to state and MAC address."""
        lines = self._ffi.new("fl_netstack_neighbour_t[4096]")
        count = self._library.harness_neighbours(self._stack, lines, 4096)
        return {_text(line.address): (line.state, bytes(line.mac).hex(":")) for line in lines[0:count]}

    def state(self, address: str) -> int:
        return self.neighbours().get(address, (NONE, ""))[0]

    def generation(self) -> int:
        return int(self._library.harness_generation(self._stack))

    def join(self, group: str) -> int:
        return int(self._library.harness_join(self._stack, self._address(group), self.now_ns))

    def leave(self, group: str) -> None:
        self._library.harness_leave(self._stack, self._address(group), self.now_ns)

    def counts(self) -> dict[str, int]:
        """The counts that are not zero."""
        return {name: value for name, value in self._all_counts() if value != 0}

    def log(self) -> str:
        return str(self._ffi.string(self._library.harness_log(self._stack)).decode())

    def _all_counts(self) -> Iterator[tuple[str, int]]:
        index = 0
        while (value := self._library.harness_count(self._stack, index)) >= 0:
            yield self._ffi.string(self._library.harness_count_name(index)).decode(), value
            index += 1

    def _address(self, text: str) -> Any:
        address = ipaddress.ip_address(text)
        result = self._ffi.new("fl_address_t *")
        result.family = address.version
        self._ffi.memmove(result.bytes, address.packed, len(address.packed))
        return result


def verified(raw: bytes) -> Packet:
    """Decode a frame and have scapy compute its checksums and lengths anew: the bytes stay the same."""
    packet = Ether(raw)
    layer = packet
    while layer:
        for field in ("chksum", "cksum", "len", "plen"):
            if field in layer.fields:
                delattr(layer, field)
        layer = layer.payload
    assert bytes(packet) == raw
    return Ether(raw)


def settled(stack: ControlStack, *groups: str) -> ControlStack:
    """Have the groups joined, and their unsolicited reports sent."""
    for group in groups:
        assert stack.join(group) == 0
    stack.pass_time(11)
    stack.sent()
    return stack


def mld_records(report: Packet) -> list[tuple[int, str]]:
    """Types and groups of an MLDv2 report; scapy hangs each record below the one before it."""
    records = []
    layer = report[ICMPv6MLReport2].records[0]
    while isinstance(layer, ICMPv6MLDMultAddrRec):
        records.append((layer.rtype, layer.dst))
        layer = layer.payload
    assert len(records) == report[ICMPv6MLReport2].records_number
    return records


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _text(address: Any) -> str:
    raw = bytes(address.bytes)
    return str(ipaddress.ip_address(raw if address.family == 6 else raw[:4]))
