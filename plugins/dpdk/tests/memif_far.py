"""The far end of a memif, in a process of its own: sends back every frame that comes, its payload reversed.

Ends when its standard input does, and then prints how many there were.
"""

from __future__ import annotations

import json
import os
import sys

from dpdk_port import Port


def has_parent() -> bool:
    try:
        return os.read(0, 1) != b""
    except BlockingIOError:
        return True


def main() -> None:
    port = Port(**json.loads(sys.argv[1]))
    print("ready", flush=True)
    os.set_blocking(0, False)
    answered = 0
    while has_parent():
        for one in port.poll():
            while not port.send(one.data[:14] + one.data[14:][::-1]):
                port.reap()
            answered += 1
    port.close()
    print(answered, flush=True)


if __name__ == "__main__":
    main()
