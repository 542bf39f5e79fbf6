"""An end of a memif that sends long frames as fast as it can and drops what comes: most of its time is DPDK's copying.

Ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import time

from dpdk_port import Port, ffi

BURST = 32
LENGTH = 9014
HOUSEKEEPING_S = 0.1
FLOW_LIMIT_S = 20.0
#: So often in vain that nobody can be at the other end; where somebody is, this end never sleeps.
ALONE = 2000


def has_parent() -> bool:
    try:
        return os.read(0, 1) != b""
    except BlockingIOError:
        return True


def send(port: Port) -> int:
    frames, count = port.alloc(BURST)
    for frame in frames[0:count]:
        frame.length = LENGTH
    sent = port.check(port.ops.tx_burst(port.object, 0, frames, count))
    port.ops.tx_free(port.object, 0, frames + sent, count - sent)
    return sent


def drop(port: Port) -> int:
    frames = ffi.new("fl_rx_frame_t[]", BURST)
    count = port.check(port.ops.rx_burst(port.object, 0, frames, BURST))
    port.ops.rx_release(port.object, 0, frames, count)
    return count


def main() -> None:
    port = Port(**json.loads(sys.argv[1]))
    os.set_blocking(0, False)
    is_flowing = False
    in_vain = 0
    began_at = kept_at = time.monotonic()
    while has_parent():
        moved = send(port) + drop(port)
        in_vain = 0 if moved > 0 else in_vain + 1
        if in_vain > ALONE:
            time.sleep(0.001)
        if moved > 0 and not is_flowing:
            is_flowing = True
            print("ready", flush=True)
        if time.monotonic() - kept_at > HOUSEKEEPING_S:
            if not is_flowing and kept_at - began_at > FLOW_LIMIT_S:
                sys.exit(f"no frame went or came in {FLOW_LIMIT_S:g} s")
            port.housekeeping()
            kept_at = time.monotonic()
    port.close()


if __name__ == "__main__":
    main()
