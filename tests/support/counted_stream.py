"""Programs of interop tests: our client at one end of a stream of numbered messages, a stock program at the other.

    python -m support.counted_stream publish DIRECTORY CHANNEL STREAM COUNT
    python -m support.counted_stream subscribe DIRECTORY CHANNEL STREAM COUNT

The publisher's messages are the text ``message-0`` and so on. The subscriber takes those, and what the stock program
``streaming_publisher`` sends: the number in the first 8 bytes. It fails on the first message that is not the next one.
"""

from __future__ import annotations

import sys
import time

from framelane.client import Client

_BATCH = 64
_PATIENCE_S = 30.0


def publish(directory: str, channel: str, stream_id: str, count: str) -> None:
    number, last = 0, time.monotonic()
    with Client(directory) as client, client.add_exclusive_publication(channel, int(stream_id)) as publication:
        print("ready", flush=True)
        while number < int(count):
            batch = [b"message-%d" % i for i in range(number, min(number + _BATCH, int(count)))]
            accepted, _ = publication.offer_batch(batch)
            number += accepted
            if accepted:
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE_S:
                raise SystemExit(f"message {number} was not taken for {_PATIENCE_S} s")
            else:
                time.sleep(0.0001)
        print("published", number, flush=True)


def subscribe(directory: str, channel: str, stream_id: str, count: str) -> None:
    number, last = 0, time.monotonic()
    with Client(directory) as client, client.add_subscription(channel, int(stream_id)) as subscription:
        print("ready", flush=True)
        while number < int(count):
            batch = subscription.poll_batch()
            for message in batch:
                if bytes(message) != b"message-%d" % number and bytes(message[:8]) != number.to_bytes(8, "little"):
                    raise SystemExit(f"in place of message {number} came {bytes(message[:64])!r}")
                number += 1
            if len(batch):
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE_S:
                raise SystemExit(f"message {number} did not come within {_PATIENCE_S} s")
            else:
                time.sleep(0.0001)
        print("received", number, flush=True)


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
