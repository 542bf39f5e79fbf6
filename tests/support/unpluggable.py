"""Program of tests: a driver, set up by the environment, whose DPDK device is unplugged on SIGUSR1.

    python -m support.unpluggable

It ends on SIGTERM.
"""

from __future__ import annotations

import signal

from framelane import MediaDriver
from framelane_dpdk.native import load


def main() -> None:
    wanted = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    with MediaDriver.launch() as driver:
        while signal.sigwait(wanted) != signal.SIGTERM:
            ffi, lib = load()
            native = driver.nouns.transports._open["dpdk"]._port.native
            if lib.fl_dpdk_unplug(ffi.cast("fl_port_t *", native.object)) != 0:
                raise SystemExit("the device is in another state")


if __name__ == "__main__":
    main()
