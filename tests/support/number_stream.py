"""Programs of tests: publish numbered messages, and check that a subscriber gets them without a gap.

    python -m support.number_stream publish DIRECTORY CHANNEL SECONDS [BATCH [PAUSE]]
    python -m support.number_stream subscribe DIRECTORY CHANNEL SECONDS [INTERVAL [PAUSE]]

The publisher sends at full rate, or rests for a pause after each batch. The subscriber's time begins with its first
message and ends early on SIGUSR1. In every interval, a quarter of a second, it prints ``rate`` and how many messages
came in it; at the end ``from FIRST to LAST at JOIN_POSITION``. Where nothing is there it rests for a pause.
"""

from __future__ import annotations

import signal
import struct
import sys
import threading
import time

from framelane.client import Client

_STREAM_ID = 1002
_LENGTH = 224  # frames of 256 bytes fill a term without a rest
_BATCH = 64
_NUMBER = struct.Struct("<q")
_FRAME_LENGTH = 256
_INTERVAL_S = 0.25
_PAUSE_S = 0.0001
_PATIENCE_S = 30.0


def publish(directory: str, channel: str, seconds: str, batch_length: str = str(_BATCH), pause: str = "0") -> None:
    number, end = 0, time.monotonic() + float(seconds)
    padding = bytes(_LENGTH - _NUMBER.size)
    with Client(directory) as client, client.add_exclusive_publication(channel, _STREAM_ID) as publication:
        print("ready", flush=True)
        while time.monotonic() < end:
            batch = [_NUMBER.pack(number + i) + padding for i in range(int(batch_length))]
            accepted, _ = publication.offer_batch(batch)
            number += accepted
            if not accepted or float(pause):
                time.sleep(float(pause) or _PAUSE_S)


def subscribe(
    directory: str, channel: str, seconds: str, interval: str = str(_INTERVAL_S), pause: str = str(_PAUSE_S)
) -> None:
    errors: list[Exception] = []
    is_over = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: is_over.set())
    with (
        Client(directory, on_error=errors.append) as client,
        client.add_subscription(channel, _STREAM_ID) as subscription,
    ):
        print("ready", flush=True)
        expected, first, join_position, in_interval = -1, -1, -1, 0
        begin, last = 0.0, time.monotonic()
        while not begin or (time.monotonic() - begin < float(seconds) and not is_over.is_set()):
            batch = subscription.poll_batch(assemble=False)
            for message in batch:
                (number,) = _NUMBER.unpack_from(message)
                if expected < 0:
                    first = expected = number
                    join_position = subscription.images[0].join_position
                    begin = mark = time.monotonic()
                    print("first", flush=True)
                if number != expected:
                    raise SystemExit(f"message {number} came in place of {expected}")
                expected += 1
            in_interval += len(batch)
            now = time.monotonic()
            if len(batch):
                last = now
            elif now - last > _PATIENCE_S:
                raise SystemExit(f"nothing came for {_PATIENCE_S} s")
            else:
                time.sleep(float(pause))
            if begin and now - mark >= float(interval):
                print("rate", in_interval, flush=True)
                mark, in_interval = now, 0
        assert join_position == first * _FRAME_LENGTH, f"joined at {join_position}, first message {first}"
        if errors:
            raise SystemExit(f"the client reported {errors}")
        print("from", first, "to", expected - 1, "at", join_position, flush=True)


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
