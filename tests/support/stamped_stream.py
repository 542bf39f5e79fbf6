"""Messages with room for the times that drivers put into them (wire 6), sent one by one, and what came of them.

A message holds the time at which the application gave it to the publication, its number, and bytes that nobody may
change but where the channel asks for timestamps.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from framelane.client import Client
from framelane.shm.counter_types import CounterType
from support.drivers import DriverProcess

__all__ = ["PLACES", "STREAM_ID", "Places", "Seen", "check_stamps", "exchange_one_by_one", "read_printed"]

STREAM_ID = 1001

_FILL = b"\xa5" * 40
_HEAD = struct.Struct("<qq")
_TIME = struct.Struct("<q")


class Seen(NamedTuple):
    """A message as a client had it."""

    polled_ns: int  #: by the client's clock, after its poll
    reserved_value: int
    payload: bytes


@dataclass(frozen=True)
class Places:
    """Where a channel asks for timestamps: offsets in the payload, or -8 for the reserved value."""

    send: int
    media: int
    receive: int

    @property
    def parameters(self) -> str:
        words = ("reserved" if place == -8 else str(place) for place in (self.send, self.media, self.receive))
        names = ("channel-snd-ts-offset", "media-rcv-ts-offset", "channel-rcv-ts-offset")
        return "|".join(f"{name}={word}" for name, word in zip(names, words, strict=True))

    def stamps(self, seen: Seen) -> tuple[int, ...]:
        """Return the times of sending, of arrival and of being taken."""
        return tuple(
            seen.reserved_value if place == -8 else _TIME.unpack_from(seen.payload, place)[0]
            for place in (self.send, self.media, self.receive)
        )

    def without_stamps(self, seen: Seen) -> tuple[int, bytes]:
        """Return the reserved value and the payload as if nothing had been put there."""
        payload, sent = bytearray(seen.payload), _message(0, 0)
        for place in (self.send, self.media, self.receive):
            if place >= 0:
                payload[place : place + 8] = sent[place : place + 8]
        return 0 if -8 in (self.send, self.media, self.receive) else seen.reserved_value, bytes(payload)


#: By name; some are not aligned, and each stamp is the reserved value once.
PLACES = {
    "in the payload": Places(16, 24, 32),
    "sending reserved": Places(-8, 45, 21),
    "arrival reserved": Places(17, -8, 48),
    "receipt reserved": Places(40, 19, -8),
}


def _message(sent_ns: int, number: int) -> bytes:
    return _HEAD.pack(sent_ns, number) + _FILL


def exchange_one_by_one(
    sender: DriverProcess, receiver: DriverProcess, channel: str, *, count: int, clock: str, limit_s: float = 60.0
) -> list[Seen]:
    """Send messages from a client of one driver to a client of another, each after the one before has come.

    So each is alone in its datagram, and every driver stamps it.

    :param clock: whose the times of arrival are of, as the receiving driver tells; ``""``: it does not.
    """
    seen: list[Seen] = []
    deadline = time.monotonic() + limit_s
    with (
        Client(sender.directory) as here,
        Client(receiver.directory) as there,
        there.add_subscription(channel, STREAM_ID) as subscription,
        here.add_exclusive_publication(channel, STREAM_ID) as publication,
    ):
        for number in range(count):
            while publication.offer(_message(time.time_ns(), number)) < 0:
                assert time.monotonic() < deadline, f"message {number} was not taken"
            while len(seen) == number:
                time.sleep(0.00002)
                batch = subscription.poll_batch()
                polled_ns = time.time_ns()
                seen += (Seen(polled_ns, header.reserved_value, bytes(data)) for data, header in batch.items())
                assert time.monotonic() < deadline, f"message {number} did not come"
        assert _receive_clocks(receiver) == ({(clock, 0)} if clock else set())
    return seen


def _receive_clocks(driver: DriverProcess) -> set[tuple[str, int]]:
    """Return whose clocks the times of arrival are of, at endpoints that are open, and how many datagrams had none."""
    counters = driver.cnc.counters()
    return {(c.label.split()[-1], c.value) for c in counters if c.type_id == CounterType.RECEIVE_TIMESTAMPS}


def read_printed(output: str) -> list[Seen]:
    """Read what ``tests/interop/stock_view.c`` prints: a line for each message, behind others."""
    words = [line.split() for line in output.splitlines() if line.startswith("message ")]
    return [Seen(int(polled_ns), int(reserved), bytes.fromhex(payload)) for _, polled_ns, reserved, payload in words]


def check_stamps(seen: Iterable[Seen], places: Places) -> list[int]:
    """The times are where the channel asks for them and nowhere else, lie between the readings of the clock before and
    after, in the order of what they are the times of, and never go back.

    :returns: for each message how far apart those readings are: no time in it is further from the clock.
    """
    apart = []
    last: tuple[int, ...] = (0, 0, 0)
    for number, one in enumerate(seen):
        sent_ns, _ = _HEAD.unpack_from(one.payload)
        assert places.without_stamps(one) == (0, _message(sent_ns, number)), one
        stamps = places.stamps(one)
        times = (sent_ns, *stamps, one.polled_ns)
        assert times == tuple(sorted(times)), (number, times)
        assert all(now >= before for now, before in zip(stamps, last, strict=True)), (number, stamps, last)
        last = stamps
        apart.append(one.polled_ns - sent_ns)
    return apart
