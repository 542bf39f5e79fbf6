"""Programs of tests: a process that embeds a driver.

    python -m support.embedding hold-gil DIRECTORY SECONDS [CPU]
    python -m support.embedding pause-link DIRECTORY SECONDS [CPU]

Both print ``ready`` and end on SIGTERM. The first holds the interpreter from SIGUSR1 on, for so long, or from SIGUSR2
on, for a second; the second lets its control plane pause in every link that comes after SIGUSR1. The driver's agents
run on the CPU, if one is given.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import time

from framelane import MediaDriver


def main(what: str, directory: str, seconds: str, cpu: str = "-1") -> None:
    wanted = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    with MediaDriver.launch(
        dir=directory,
        threading_mode="SHARED",
        conductor_cpu_affinity=int(cpu),
        term_buffer_length="4m",
        term_buffer_sparse_file=True,
    ) as driver:
        print("ready", flush=True)
        while (number := signal.sigwait(wanted)) != signal.SIGTERM:
            if what == "hold-gil":
                print("holding", flush=True)
                ctypes.PyDLL(None).sleep(int(seconds) if number == signal.SIGUSR1 else 1)
                print("released", flush=True)
            else:
                driver.nouns.links.between_steps = lambda: pause(float(seconds))
                print("will pause", flush=True)


def pause(seconds: float) -> None:
    print("pausing", flush=True)
    time.sleep(seconds)
    print("paused", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
