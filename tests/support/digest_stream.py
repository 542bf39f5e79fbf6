"""Programs of tests: an endless stream of random messages, and its digest at both ends.

    python -m support.digest_stream publish DIRECTORY CHANNEL SEED
    python -m support.digest_stream subscribe DIRECTORY CHANNEL

The publisher ends its stream on SIGTERM, the subscriber at the end of the stream. Each then prints ``digest``, how many
messages there were, and the SHA-256 of all of them.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import time
from random import Random

from framelane.client import Client

_STREAM_ID = 1003
_PATIENCE_S = 60.0


def publish(directory: str, channel: str, seed: str) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    random, digest, count = Random(int(seed)), hashlib.sha256(), 0
    with Client(directory) as client, client.add_exclusive_publication(channel, _STREAM_ID) as publication:
        while not stopping.is_set():
            message = random.randbytes(random.randint(1, 5000))
            publication.offer_blocking(message, timeout=_PATIENCE_S)
            digest.update(message)
            count += 1
            if count == 1:
                print("ready", flush=True)
            time.sleep(0.0005)  # leave room in the socket for what others send
    print("digest", count, digest.hexdigest(), flush=True)


def subscribe(directory: str, channel: str) -> None:
    digest, count, last = hashlib.sha256(), 0, time.monotonic()
    with Client(directory) as client, client.add_subscription(channel, _STREAM_ID) as subscription:
        print("ready", flush=True)
        while not (count and all(image.is_end_of_stream for image in subscription.images)):
            batch = subscription.poll_batch(assemble=True)
            for message in batch:
                digest.update(message)
            count += len(batch)
            if len(batch):
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE_S:
                raise SystemExit(f"nothing came for {_PATIENCE_S} s after {count} messages")
            else:
                time.sleep(0.0002)
    print("digest", count, digest.hexdigest(), flush=True)


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
