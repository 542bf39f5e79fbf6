"""Probes side by side, each in a child process: whatever a vendor library does there becomes a verdict here."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from framelane.transport.own_time import OwnTime
from framelane.transport.probe_child import READY
from framelane.transport.registry import Plugin
from framelane.transport.spec import Fact, Obstacle, TransportSettings, Verdict

__all__ = ["PROBE_LIMIT_S", "Unanswered", "run_probes"]

#: Of the probe's own time: an overloaded machine, or one that reads a library from a slow disk, is no verdict on it.
PROBE_LIMIT_S = 2.0
#: After this many times its limit a probe is stopped all the same: it may wait for a device that hangs.
_PATIENCE = 10
#: For the interpreter and framelane itself, which the probe is not to blame for.
_START_LIMIT_S = 60.0
_KILL_LIMIT_S = 1.0
_LIFETIME_S = 120  # longer than any of the above: for a child whose parent has died
_LOOK_INTERVAL_S = 0.01  # a child that ends closes its pipes, which is seen at once; this is for one that does not
_ANSWER_LIMIT = 1 << 20
_OUTPUT_KEPT = 2000

_BOOT = (
    "import json, sys\n"
    "request = json.load(sys.stdin)\n"
    "sys.path[:] = request['path']\n"
    "from framelane.transport.probe_child import main\n"
    "main(request)\n"
)


@dataclass(frozen=True)
class Unanswered(Verdict):
    """What stands for the verdict of a probe that could not be started, was stopped or was killed.

    The machine may be to blame for that, so it is not to be kept: another probe may answer.
    """


@dataclass(eq=False)
class _Child:
    plugin: Plugin
    process: subprocess.Popen[bytes]
    answer_fd: int
    output_fd: int
    deadline: float
    answer: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    own_time: OwnTime | None = None  #: since it was ready
    stopped_because: str = ""

    def close(self) -> None:
        os.close(self.answer_fd)
        os.close(self.output_fd)


def run_probes(
    plugins: Iterable[Plugin],
    settings: Mapping[str, TransportSettings],
    *,
    limit_s: float = PROBE_LIMIT_S,
) -> dict[str, Verdict]:
    """Probe transports side by side, each in a process of its own. Never raises for what a probe does.

    Takes about as long as the slowest of them. Whatever is left of a probe's process group is killed when it ends.

    :param settings: by transport name; a missing one is the transport unconfigured.
    :param limit_s: how much of its own time (:class:`OwnTime`) a probe may take; ten times that on any clock.
    :returns: by transport name. Where the probe did not end by itself, :class:`Unanswered`.
    """
    verdicts: dict[str, Verdict] = {}
    running: list[_Child] = []
    with selectors.DefaultSelector() as selector:
        try:
            for plugin in plugins:
                try:
                    child = _start(plugin, settings.get(plugin.name) or plugin.spec.settings())
                except (OSError, ValueError) as error:
                    verdicts[plugin.name] = _unanswered(plugin, f"its process could not be started: {error}")
                    continue
                running.append(child)
                for fd in (child.answer_fd, child.output_fd):
                    selector.register(fd, selectors.EVENT_READ, child)
            while running:
                for key, _ in selector.select(_LOOK_INTERVAL_S):
                    _read(key.data, key.fd, selector, limit_s)
                for child in list(running):
                    verdict = _verdict_if_over(child, selector, limit_s)
                    if verdict is not None:
                        verdicts[child.plugin.name] = verdict
                        running.remove(child)
                        child.close()
        finally:
            for child in running:  # only if this function is interrupted
                _kill_group(child)
                child.process.wait()
                child.close()
    return verdicts


def _verdict_if_over(child: _Child, selector: selectors.BaseSelector, limit_s: float) -> Verdict | None:
    """Return a child's verdict if it has ended or cannot be ended; kill it if its time is up."""
    if _has_ended(child):
        _finish(child, selector)
        return _verdict(child)
    if time.monotonic() < child.deadline and not _has_had_its_time(child, limit_s):
        return None
    if child.stopped_because:
        # It sits in the kernel, in a driver most likely, and is left to end there.
        for fd in (child.answer_fd, child.output_fd):
            _forget(fd, selector)
        return _unanswered(child.plugin, f"{child.stopped_because}, which process {child.process.pid} still resists")
    _stop(child, f"it did not answer within {limit_s if child.own_time else _START_LIMIT_S:g} s and was killed")
    return None


def _has_had_its_time(child: _Child, limit_s: float) -> bool:
    if child.own_time is None or child.stopped_because:
        return False
    child.own_time.look()
    return child.own_time.seconds >= limit_s


def _has_ended(child: _Child) -> bool:
    """Look without reaping, so that the process number stays the child's until its group was killed."""
    try:
        return os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # this process ignores SIGCHLD, and the kernel has reaped it
        return True


def _start(plugin: Plugin, settings: BaseModel) -> _Child:
    if not sys.executable:
        raise OSError("this interpreter does not know its own path (sys.executable)")
    answer_read, answer_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    output_read, output_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    ours = [answer_read, output_read]
    try:
        os.set_blocking(answer_write, True)
        os.set_blocking(output_write, True)
        request: dict[str, Any] = {
            "path": sys.path,
            "claim": asdict(plugin.claim),
            "settings": settings.model_dump_json(),
            "fd": answer_write,
            "lifetime_s": _LIFETIME_S,
        }
        # A memory file takes a request of any size without anybody waiting for anybody.
        with os.fdopen(os.memfd_create("framelane-probe", os.MFD_CLOEXEC), "w+b") as stdin:
            stdin.write(json.dumps(request).encode())
            stdin.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT],
                stdin=stdin,
                stdout=output_write,
                stderr=output_write,
                pass_fds=(answer_write,),
                # Not a session: that is a group of its own to the scheduler, and on some kernels one that begins
                # beside a busy one starves.
                process_group=0,
            )
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        os.close(answer_write)
        os.close(output_write)
    return _Child(plugin, process, answer_read, output_read, time.monotonic() + _START_LIMIT_S)


def _read(child: _Child, fd: int, selector: selectors.BaseSelector, limit_s: float) -> bool:
    """Take what a pipe holds; at its end, look at it no more. Returns whether there was something."""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return False
    if not data:
        selector.unregister(fd)
    elif fd == child.output_fd:
        child.output += data
        del child.output[:-_OUTPUT_KEPT]
    else:
        child.answer += data
        if child.own_time is None and child.answer.startswith(READY):
            child.own_time = OwnTime(child.process.pid)
            child.deadline = time.monotonic() + _PATIENCE * limit_s
        if len(child.answer) > _ANSWER_LIMIT and not child.stopped_because:
            _stop(child, f"its answer is longer than {_ANSWER_LIMIT} bytes")
    return bool(data)


def _stop(child: _Child, because: str) -> None:
    child.stopped_because = because
    child.deadline = time.monotonic() + _KILL_LIMIT_S
    _kill_group(child)


def _kill_group(child: _Child) -> None:
    """Kill the child and what it started. Before it is reaped, so its number cannot be somebody else's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


def _finish(child: _Child, selector: selectors.BaseSelector) -> None:
    """Reap an ended child and take what its pipes still hold."""
    _kill_group(child)
    child.process.wait()
    for fd in (child.answer_fd, child.output_fd):
        # A pipe holds 64 KiB; the bound is for a process that left the group and writes on.
        for _ in range(32):
            if fd not in selector.get_map() or not _read(child, fd, selector, 0):
                break
        _forget(fd, selector)


def _forget(fd: int, selector: selectors.BaseSelector) -> None:
    if fd in selector.get_map():
        selector.unregister(fd)


def _verdict(child: _Child) -> Verdict:
    plugin, status = child.plugin, child.process.returncode
    output = child.output.decode(errors="replace").strip()
    if child.stopped_because:
        return _unanswered(plugin, child.stopped_because, output)
    if status < 0:
        return _unanswered(plugin, f"it was killed by {_signal_name(-status)}", output)
    if status != 0:
        return _failed(plugin, f"it ended its process with status {status}", output)
    try:
        answer = json.loads(bytes(child.answer).removeprefix(READY))
        if "raised" in answer:
            return _failed(plugin, f"it raised {answer['raised']}", output, answer["traceback"])
        return TypeAdapter(Verdict).validate_json(json.dumps(answer["verdict"]), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _failed(plugin, f"its verdict is malformed: {where}: {first['msg']}", output)
    except (ValueError, KeyError, TypeError):
        shown = bytes(child.answer).removeprefix(READY)[:60]
        return _failed(plugin, f"its answer is not a verdict: {shown!r}", output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _unanswered(plugin: Plugin, found: str, output: str = "") -> Verdict:
    failed = _failed(plugin, found, output, again="a driver probes again when a later endpoint wants it; ")
    return Unanswered(usable=False, facts=failed.facts, obstacles=failed.obstacles)


def _failed(plugin: Plugin, found: str, output: str = "", trace: str = "", *, again: str = "") -> Verdict:
    facts = [Fact(name, text) for name, text in (("output", output), ("traceback", trace)) if text]
    claim = plugin.claim
    obstacle = Obstacle(
        asked=f"the probe of {claim.name} says whether it can be used",
        found=found,
        where=f"{claim.value} of {claim.distribution} {claim.version}, in a process of its own",
        next=f"{again}report this to the authors of {claim.distribution}; "
        f"FRAMELANE_DISABLE_TRANSPORTS={claim.name} leaves it out",
    )
    return Verdict(usable=False, facts=tuple(facts), obstacles=(obstacle,))
