"""The far end of a memif in a process of its own: sends back every frame that comes, its bytes reversed."""

from __future__ import annotations

import json
import sys

from dpdk_port import Port


def main() -> None:
    settings = json.loads(sys.argv[1])
    port = Port(**settings)
    print("ready", flush=True)
    answered = 0
    # Ends with its parent, which holds the other end of standard input.
    import os

    os.set_blocking(0, False)
    while True:
        for one in port.poll():
            while not port.send(one.data[:14] + one.data[14:][::-1]):
                port.reap()
            answered += 1
        try:
            if not os.read(0, 1):
                break
        except BlockingIOError:
            pass
    port.close()
    print(answered, flush=True)


if __name__ == "__main__":
    main()
