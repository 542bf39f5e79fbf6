"""Programs of tests: publish a file, and subscribe into one, with the client.

    python -m support.file_stream publish DIRECTORY CHANNEL FILE [MESSAGE_LENGTH]
    python -m support.file_stream subscribe DIRECTORY CHANNEL FILE LENGTH

The subscriber prints ``subscribed`` when the publisher may begin.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from framelane.client import Client

_STREAM_ID = 1001
_PATIENCE_S = 60.0


def publish(directory: str, channel: str, file: str, message_length: str = "8192") -> None:
    """Offer the file and stay until the driver has sent all of it to a connected subscriber."""
    length = int(message_length)
    data = memoryview(Path(file).read_bytes())
    with Client(directory) as client, client.add_exclusive_publication(channel, _STREAM_ID) as publication:
        for at in range(0, len(data), length):
            publication.offer_blocking(data[at : at + length], timeout=_PATIENCE_S)
        print("published", publication.position, flush=True)


def subscribe(directory: str, channel: str, file: str, total: str) -> None:
    """Write so many bytes of messages; gives up after a minute without any."""
    missing, last = int(total), time.monotonic()
    with Client(directory) as client, client.add_subscription(channel, _STREAM_ID) as subscription:
        print("subscribed", flush=True)
        with Path(file).open("wb") as output:
            while missing:
                batch = subscription.poll_batch(assemble=True)
                for message in batch:
                    missing -= output.write(message)
                if len(batch):
                    last = time.monotonic()
                elif time.monotonic() - last > _PATIENCE_S:
                    raise SystemExit(f"nothing came for {_PATIENCE_S} s, {missing} bytes are missing")
                else:
                    time.sleep(0.0002)


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
