"""The one environment of a process: started once, shared, refused where it cannot be. Each case has its own process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

PAIR = "Port(vdev='net_ring', vdev_args={'link': 'pair'}"


def check(run_python: Run, source: str) -> None:
    done = run_python(source + "\nprint('done')")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_starting_leaves_the_callers_processors_and_signals_as_they_were(run_python: Run) -> None:
    check(
        run_python,
        f"""
import os, signal
from pathlib import Path
from dpdk_port import Port
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
before = os.sched_getaffinity(0), signal.pthread_sigmask(signal.SIG_BLOCK, ())
port = {PAIR})
assert (os.sched_getaffinity(0), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
names = set()
for task in Path("/proc/self/task").iterdir():
    names.add((task / "comm").read_text().strip())
    if task.name != str(os.getpid()):
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        blocked = int(lines["SigBlk"], 16)
        assert blocked >> (signal.SIGTERM - 1) & 1 and blocked >> (signal.SIGINT - 1) & 1, task.name
assert "framelane-eal" in names, names
assert not any("telemetry" in name for name in names), names
port.close()
""",
    )


def test_a_second_driver_shares_it_and_must_not_contradict(run_python: Run) -> None:
    check(
        run_python,
        f"""
from dpdk_port import Port
from framelane.errors import TransportError
first = {PAIR}, memory=128)
second = {PAIR})
for wrong in ({{"memory": 64}}, {{"iova": "pa"}}, {{"cores": "0", "file_prefix": "x"}}):
    try:
        Port(vdev="net_null", **wrong)
    except TransportError as error:
        for name, value in wrong.items():
            assert f"{{name}} = {{value!r}}, and this process runs DPDK with" in str(error), error
    else:
        raise AssertionError(wrong)
third = Port(vdev="net_null", memory=128)
first.close(), second.close(), third.close()
again = {PAIR})
again.close()
""",
    )


def test_a_child_of_the_process_neither_uses_nor_harms_it(run_python: Run) -> None:
    check(
        run_python,
        f"""
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from dpdk_port import Port, frame
from framelane.errors import TransportError
near, far = {PAIR}), {PAIR})
child = os.fork()
if child == 0:
    try:
        Port(vdev="net_null")
    except TransportError as error:
        assert "which started DPDK before it forked" in str(error), error
        near.transport.close()
        far.transport.close()
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
near.send(frame(b"after the fork"))
assert far.receive(1)[0].data == frame(b"after the fork")
near.close(), far.close()
""",
    )


def test_what_dpdk_says_of_a_failed_start_is_in_the_error_and_stays_so(run_python: Run) -> None:
    check(
        run_python,
        """
from dpdk_port import Port
from framelane.errors import TransportError
for wrong in (["-d", "/nosuch.so"], []):
    try:
        Port(vdev="net_null", extra_eal_args=wrong)
    except TransportError as error:
        assert "rte_eal_init failed" in str(error) and "DPDK says: " in str(error), error
        assert "next: correct what it complains of" in str(error), error
        assert "-d /nosuch.so" in str(error), error
        assert ("needs a new process" in str(error)) == (not wrong), error
    else:
        raise AssertionError(wrong)
""",
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--nosuch"], "says: framelane: unrecognized option '--nosuch'; EAL: Invalid 'command line' arguments.; next"),
        (["-n", "4", "stray"], "'stray' is no option of DPDK and belongs to none; next: correct"),
    ],
    ids=["unknown", "stray"],
)
def test_a_wrong_option_is_one_error_and_nothing_on_the_streams_but_what_others_write(
    run_python: Run, wrong: list[str], said: str
) -> None:
    """DPDK would print its usage; another thread of the process is writing to the same stream of C meanwhile."""
    done = run_python(
        f"""
import ctypes, sys, threading
from dpdk_port import Port
from framelane.errors import TransportError
libc = ctypes.CDLL(None)
written, is_over = [0], threading.Event()
def write():
    while not is_over.wait(0.001):
        libc.puts(b"mine")
        written[0] += 1
writer = threading.Thread(target=write)
writer.start()
try:
    Port(vdev="net_null", extra_eal_args={wrong!r})
except TransportError as error:
    assert {said!r} in str(error) and {" ".join(wrong)!r} in str(error), error
else:
    raise AssertionError("it was taken")
finally:
    is_over.set()
    writer.join()
libc.fflush(None)
print(written[0])
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    *lines, count = done.stdout.splitlines()
    assert lines == ["mine"] * int(count)


@pytest.mark.programs("strace")
def test_a_burst_makes_no_system_call(run_python: Run) -> None:
    """What happens before and after is the same with few bursts and with many, but for Python's memory."""
    source = """
import sys
from dpdk_port import Port, ffi
near, far = (Port(vdev="net_ring", vdev_args={"link": "pair"}) for _ in range(2))
tx, rx = ffi.new("fl_tx_frame_t[]", 32), ffi.new("fl_rx_frame_t[]", 32)
done = ffi.new("fl_completion_t[]", 32)
ops, a, b = near.ops, near.object, far.object
for _ in range(int(sys.argv[1])):
    count = ops.tx_alloc(a, 0, tx, 32)
    for i in range(count):
        tx[i].length = 60
    sent = ops.tx_burst(a, 0, tx, count)
    ops.tx_free(a, 0, tx + sent, count - sent)
    ops.tx_reap(a, 0, done, 32)
    received = ops.rx_burst(b, 0, rx, 32)
    ops.rx_release(b, 0, rx, received)
near.close(), far.close()
"""

    def calls(rounds: int) -> int:
        done = run_python(source, str(rounds), prefix=("strace", "-f", "-c", "-U", "calls,name"))
        assert done.returncode == 0, done.stderr
        return int(done.stderr.splitlines()[-1].removesuffix("total"))

    few, many = calls(100), calls(5_100)
    assert many - few < 250, f"{many - few} system calls more for 5000 bursts more"
