"""A driver under attack: what is wrong is refused and counted, and valid streams stay as they were (issue: seen 7).

``make sanitize`` runs the attacks against a driver built with AddressSanitizer; ``FRAMELANE_TEST_SEED`` repeats one.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from framelane._native import ffi
from framelane.protocol import commands
from framelane.protocol.commands import Command
from framelane.protocol.events import ErrorResponse
from framelane.protocol.frames import (
    DataFrame,
    ErrFrame,
    FrameType,
    NakFrame,
    RspSetupFrame,
    RttmFrame,
    StatusMessage,
)
from framelane.shm.counter_types import CounterType
from framelane.shm.log_buffer import LogBuffer
from framelane.shm.ring import RingFull
from support.drivers import DriverProcess, start_driver
from support.mutations import Live, Mutator
from support.processes import Processes, wait_until
from support.raw_client import CommandFailed, RawClient
from support.transfers import ENVIRONMENT

STREAM_ID = 1003
URIS = Path(__file__).parents[1] / "vectors" / "malformed-uris.txt"


class Target:
    """A driver with a valid stream in it, over UDP to a port of the loopback interface."""

    def __init__(
        self, processes: Processes, directory: Path, port: int, seed: int, settings: dict[str, str] | None = None
    ) -> None:
        self.port = port
        self.channel = f"aeron:udp?endpoint=127.0.0.1:{port}"
        self.driver: DriverProcess = start_driver(
            processes, directory, settings=sanitizer_settings() | (settings or {})
        )
        program = [sys.executable, "-m", "support.digest_stream"]
        self._subscriber = processes.start(
            "subscribe", [*program, "subscribe", directory, self.channel], environment=ENVIRONMENT
        )
        self._subscriber.wait_for("ready", 60)
        self._publisher = processes.start(
            "publish", [*program, "publish", directory, self.channel, str(seed)], environment=ENVIRONMENT
        )
        self._publisher.wait_for("ready", 60)
        self.client = RawClient(directory, lambda: time.sleep(0.0005), patience=40_000)

    def check_stream(self) -> None:
        """End the stream: both ends saw the same bytes. Then the driver still takes commands and ends in order."""
        self._publisher.kill(signal.SIGTERM)
        sent, received = (re.search("digest.*", p.succeed(60)) for p in (self._publisher, self._subscriber))
        assert sent is not None and received is not None and sent[0] == received[0]
        self.client.remove_publication(self.client.add_publication("aeron:ipc", 5))
        self.client.close()
        self.driver.stop()
        assert "Sanitizer" not in self.driver.process.output, self.driver.process.output


def sanitizer_settings() -> dict[str, str]:
    """What a driver needs to run on a build for a sanitizer; ``tools/sanitize`` sets it."""
    return {k[len("SANITIZED_") :]: v for k, v in os.environ.items() if k.startswith("SANITIZED_")}


@pytest.fixture
def target(processes: Processes, shared: Path, port: int, seed: int) -> Iterator[Target]:
    made = Target(processes, shared / "driver", port, seed)
    yield made
    made.driver.cnc.close()


# ---- channels ----


def malformed_channels() -> list[tuple[int, str, str]]:
    """Code of the answer, ``pub``, ``sub`` or ``both``, channel."""
    found = []
    for line in URIS.read_text().splitlines():
        if line and not line.startswith("#"):
            code, what, *rest = line.split(" ", 2)
            channel = (rest or [""])[0].encode().decode("unicode_escape").encode("latin-1")
            found.append((int(code), what, channel.decode("ascii", "surrogateescape")))
    return found


def test_malformed_channels_are_refused_with_a_reason(target: Target) -> None:
    cases = malformed_channels()
    assert len(cases) >= 100
    for code, what, channel in cases:
        adds = {"pub": [target.client.add_publication], "sub": [target.client.add_subscription]}
        for add in adds.get(what) or [*adds["pub"], *adds["sub"]]:
            with pytest.raises(CommandFailed) as failure:
                add(channel, STREAM_ID)
            assert failure.value.code == code, (channel, failure.value.text)
            assert failure.value.text
    target.check_stream()


# ---- commands ----


def corrupted(command: Command, random: Random) -> tuple[int, bytes]:
    """Type id and body of a command after one to four things were done to it."""
    type_id, body = int(command.TYPE), bytearray(command.encode())
    for _ in range(random.randint(1, 4)):
        match random.randrange(5):
            case 0:
                del body[random.randrange(len(body) + 1) :]
            case 1 if body:
                body[random.randrange(len(body))] ^= 1 << random.randrange(8)
            case 2 if len(body) >= 24:
                struct.pack_into(
                    "<i", body, random.randrange(16, len(body) - 3), random.choice((-1, 2**31 - 1, 70_000))
                )
            case 3:
                type_id = random.choice((type_id, 19, 255, 2**31 - 1, random.randint(1, 30)))
            case _:
                body += random.randbytes(random.randrange(64))
    return type_id, bytes(body)


def test_corrupted_commands_are_answered_and_harm_nobody(target: Target, seed: int) -> None:
    client, random = target.client, Random(seed)
    is_termination = (commands.CommandType.TERMINATE_DRIVER, commands.CommandType.CLIENT_CLOSE)
    for number in range(400):
        id_ = client.ring.next_correlation_id()
        me = client.client_id
        whole: list[Command] = [
            commands.AddPublication(me, id_, 9, target.channel),
            commands.AddExclusivePublication(me, id_, 9, "aeron:ipc"),
            commands.AddSubscription(me, id_, -1, 9, target.channel),
            commands.RemovePublication(me, id_, id_ - 1),
            commands.RemoveSubscription(me, id_, id_ - 1),
            commands.AddCounter(me, id_, 1001, b"key", "label"),
            commands.AddStaticCounter(me, id_, 77, 1001, b"key", "label"),
            commands.RemoveCounter(me, id_, id_ - 1),
            commands.RejectImage(me, id_, id_, 0, "reason"),
            commands.AddDestination(me, id_, id_ - 1, target.channel),
            commands.GetNextAvailableSessionId(me, id_, 9),
        ]
        type_id, body = corrupted(whole[number % len(whole)], random)
        if type_id in is_termination:
            continue
        client.ring.write(type_id, body)
        if number % 16 == 0:
            client.send_keepalive()
            client.poll_events()
    unknown = client.ring.next_correlation_id()
    client.ring.write(77, struct.pack("<qq", client.client_id, unknown))
    client.wait_for(
        lambda: bool(client.find(ErrorResponse, offending_command_correlation_id=unknown)), "answer to an unknown type"
    )
    target.check_stream()


# ---- a client gone mad ----


def scribble(view: memoryview, random: Random, count: int) -> None:
    """Write words into memory that a client may write."""
    words = view.cast("q")
    last = len(words) - 1
    values = [
        0,
        -1,
        1,
        2**63 - 1,
        -(2**63),
        32,
        1 << 32,
        0x7FFFFFFF,
        0xFFFFFFFF,
        *(random.getrandbits(63) for _ in range(7)),
    ]
    for _ in range(count):
        words[int(random.random() * last)] = values[int(random.random() * 16)]


@pytest.mark.parametrize("is_udp", [True, False], ids=["udp", "ipc"])
def test_a_client_that_scribbles_over_its_own_memory_harms_nobody(target: Target, is_udp: bool, seed: int) -> None:
    client, random = target.client, Random(seed)
    channel = f"{target.channel}|term-length=64k" if is_udp else "aeron:ipc?term-length=64k"
    subscription = client.add_subscription(channel, 9)
    publication = client.add_publication(channel, 9, exclusive=True)
    client.wait_for(lambda: bool(subscription.images), "image")
    image = subscription.images[0].event
    logs = [LogBuffer.open(Path(name)) for name in (publication.ready.log_file, image.log_file)]
    views = [memoryview(ffi.buffer(log.native.file.address, log.length)) for log in logs]
    counter_ids = (image.subscriber_position_counter_id, publication.ready.publication_limit_counter_id)
    rounds, each = 125, 2_000
    for turn in range(rounds):
        for _ in range(8):
            publication.offer(random.randbytes(random.randrange(1, 4000)))
        for view in views:
            scribble(view, random, each)
            metadata = view[-4096:]  # where every word decides something
            scribble(metadata, random, each)
        for _ in range(8):
            counter_id = counter_ids[turn % 2]
            client.counters.set_value(counter_id, random.choice((0, -1, 2**62, -(2**62), random.getrandbits(40))))
        client.send_keepalive()
        client.poll_events()
        wait_for_driver(client)
    for view in views:
        view.release()
    for log in logs:
        log.close()
    client.ask(lambda me, id_: commands.RemoveSubscription(me, id_, subscription.registration_id))
    client.ask(lambda me, id_: commands.RemovePublication(me, id_, publication.registration_id))
    target.check_stream()


def wait_for_driver(client: RawClient) -> None:
    """Let the driver go around at least once."""
    id_ = client.ring.next_correlation_id()
    try:
        client.ring.write(77, struct.pack("<qq", client.client_id, id_))
    except RingFull:
        return
    client.wait_for(lambda: bool(client.find(ErrorResponse, offending_command_correlation_id=id_)), "an answer")
    client.events.clear()


# ---- datagrams ----


class Attack:
    """Sends datagrams to an endpoint of the driver, as the other end of its stream or as a stranger."""

    def __init__(self, target: Target, *, receives: bool) -> None:
        self._target = target
        self._receives = receives
        counters = {c.type_id: c for c in target.client.counters if f" {STREAM_ID} " in c.label}
        kind = CounterType.RECEIVER_POSITION if receives else CounterType.SENDER_POSITION
        self._position_id = counters[kind].id
        self._session_id, self._stream_id = struct.unpack_from("<ii", counters[kind].key, 8)
        log = next(iter(target.driver.directory.glob("*/*.logbuffer")))
        with LogBuffer.open(log, writable=False) as opened:
            self._initial_term_id = int(opened.metadata.initial_term_id)
            self._term_length = int(opened.metadata.term_length)
        self._drop_ids = [c.id for c in target.client.counters if c.label.startswith("dropped-")]
        self._ports = (target.port, self._publication_port())
        if receives:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._header = b""
        else:
            # A unicast publication's socket is connected: only what seems to come from the receiver gets in.
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._header = struct.pack("!HH", *self._ports)
        self._kernel_drops = self._read_kernel_drops()

    def _publication_port(self) -> int:
        label = next(c.label for c in self._target.client.counters if c.label.startswith("snd-local-sockaddr"))
        return int(label.rsplit(":", 1)[1])

    def live(self) -> Live:
        position = self._target.driver.count(self._position_id)
        return Live(self._session_id, self._stream_id, self._initial_term_id, self._term_length, position)

    def dropped(self) -> int:
        return sum(map(self._target.driver.count, self._drop_ids))

    def send(self, datagram: bytes) -> None:
        if self._receives:
            self._socket.sendto(datagram, ("127.0.0.1", self._target.port))
            return
        loopback = bytes((127, 0, 0, 1))
        udp = self._header + struct.pack("!HH", 8 + len(datagram), 0) + datagram
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, loopback, loopback)
        self._socket.sendto(ip + udp, ("127.0.0.1", 0))

    def _read_kernel_drops(self) -> int:
        """What the target's sockets lost because they were full."""
        fields = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
        return sum(int(f[12]) for f in fields if int(f[1].rpartition(":")[2], 16) in self._ports)

    def run(self, count: int, seed: int) -> None:
        """Send datagrams that must be dropped; every one is found under a reason."""
        mutator, before, sent = Mutator(seed, receives=self._receives), self.dropped(), 0
        while sent < count:
            batch = mutator.datagrams(self.live(), min(64, count - sent))
            for datagram in batch:
                self.send(datagram)
            sent += len(batch)
            wait_until(
                lambda goal=before + sent: self.dropped() >= goal or self._read_kernel_drops() > self._kernel_drops,
                f"{sent} datagrams dropped, seed {seed}: {self.dropped() - before}",
                20,
            )
            if sent % 8192 < 64:
                self._target.client.send_keepalive()
                self._target.client.poll_events()
        assert self._read_kernel_drops() == self._kernel_drops, "the kernel dropped some before the driver saw them"
        assert self.dropped() - before == sent
        self._socket.close()


def attack(target: Target, count: int, seed: int) -> None:
    Attack(target, receives=True).run(count // 2, seed)
    Attack(target, receives=False).run(count - count // 2, seed + 1)
    reasons = target.driver.drops()
    print(reasons)
    assert len(reasons) >= 12
    feedback = ("nak-fields", "nak-ignored", "sm-fields", "sm-rejected", "err-fields", "rttm-ignored")
    assert all(reasons.get(f"dropped-{name}", 0) >= count // 10_000 for name in feedback)
    target.check_stream()


@pytest.mark.root
def test_every_hostile_datagram_is_dropped_under_a_reason(target: Target, seed: int) -> None:
    attack(target, 200_000, seed)


@pytest.mark.root
@pytest.mark.acceptance
def test_ten_million_hostile_datagrams_are_dropped_under_a_reason(target: Target, seed: int) -> None:
    attack(target, 10_000_000, seed)


# ---- strangers at endpoints that anybody may report to ----


def free_ports(count: int) -> list[int]:
    """UDP ports of the loopback interface that nobody uses now."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def feedback_of_a_stranger(random: Random, sessions: list[int]) -> bytes:
    """A frame for one of some streams, or of none, with fields of chance; one in eight has broken bytes too."""

    def word(bits: int = 32) -> int:
        return random.choice((0, 1, -1, 64, 65536, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), random.getrandbits(16)))

    def flags() -> int:
        return random.choice((0, 0x80, 0xC0, 0xFF))

    session, stream = random.choice((*sessions, word())), random.choice((21, 22, 0, word()))
    frames = (
        StatusMessage(flags(), session, stream, word(), word(), word(), word(64), random.choice((None, word(64)))),
        NakFrame(0, session, stream, word(), word(), word()),
        ErrFrame(flags(), session, stream, word(64), word(64), word(), random.randbytes(random.randrange(64))),
        RttmFrame(flags(), session, stream, word(64), word(64), random.choice((0, word(64)))),
        RspSetupFrame(0, session, stream, word()),
        # Data of no session asks for setups; a setup of no session makes an image, which anybody may.
        DataFrame(flags(), 64, FrameType.DATA, word() & ~31, session, stream, word(), payload=bytes(32)),
    )
    datagram = bytearray(random.choice(frames).encode())
    if random.randrange(8) == 0:
        datagram[random.randrange(len(datagram))] ^= 1 << random.randrange(8)
    return bytes(datagram)


@pytest.mark.parametrize("count", [6_000, pytest.param(1_000_000, marks=pytest.mark.acceptance)])
def test_strangers_at_destinations_and_responses_harm_no_other_stream(
    processes: Processes, shared: Path, port: int, seed: int, count: int
) -> None:
    # Sockets that are not connected take what anybody sends.
    target = Target(processes, shared / "driver", port, seed, {"AERON_DRIVER_CONNECT": "0"})
    client, random = target.client, Random(seed)
    control, first, second, responses_at = free_ports(4)
    multi = client.add_subscription("aeron:udp?control-mode=manual|cc=cubic", 21)
    for channel in (
        f"aeron:udp?endpoint=127.0.0.1:{first}",
        f"aeron:udp?endpoint=127.0.0.1:{second}|control=127.0.0.1:{control}",
    ):
        client.ask(
            lambda me, id_, to=channel: commands.AddReceiveDestination(me, id_, multi.registration_id, to)  # type: ignore[misc]
        )
    learning = client.add_publication(f"aeron:udp?control=127.0.0.1:{control}|control-mode=dynamic|fc=min", 21)
    responding = f"aeron:udp?control=127.0.0.1:{responses_at}|control-mode=response"
    responses = client.add_subscription(responding, 22)
    asking = f"aeron:udp?endpoint=127.0.0.1:{first}|response-correlation-id={responses.registration_id}"
    requests = client.add_publication(asking, 21)
    client.wait_for(lambda: len(multi.images) == 2, "both images")
    image = next(one.event for one in multi.images if one.event.session_id == requests.ready.session_id)
    response = client.add_publication(f"{responding}|response-correlation-id={image.correlation_id}", 22)
    client.wait_for(lambda: bool(responses.images), "image of the responses")

    bound = [c.label.rsplit(":", 1)[1] for c in client.counters if "-local-sockaddr: " in c.label]
    ports = sorted({int(one) for one in bound} - {port})
    sessions = [one.ready.session_id for one in (learning, requests, response)]
    strangers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(300)]
    for number in range(count):
        random.choice(strangers).sendto(feedback_of_a_stranger(random, sessions), ("127.0.0.1", random.choice(ports)))
        if number % 500 == 0:
            client.send_keepalive()
            client.poll_events()
            wait_for_driver(client)
    (destinations,) = (c.value for c in client.counters if c.label.startswith("mdc-num-dest"))
    assert 1 < destinations <= 256
    for stranger in strangers:
        stranger.close()
    for subscription in (multi, responses):
        client.remove_subscription(subscription)
    for publication in (learning, requests, response):
        client.remove_publication(publication)
    target.check_stream()
    target.driver.cnc.close()
