"""Probes in child processes: whatever one does becomes its verdict, and only its."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from framelane.transport.probe import Unanswered, run_probes
from framelane.transport.registry import discover
from framelane.transport.spec import Fact

FAILURES = {
    "crash": ("ctypes.string_at(0)", "killed by SIGSEGV"),
    "aborts": ("print('vendor panic: no huge pages', flush=True); os.abort()", "killed by SIGABRT"),
    "leaves": ("os._exit(3)", "ended its process with status 3"),
    "quits": ("sys.exit(4)", "raised SystemExit: 4"),
    "raises": ("raise OSError('libvendor.so: cannot open shared object file')", "libvendor.so"),
    "stops": ("os.kill(os.getpid(), signal.SIGSTOP)", "did not answer within 2 s"),
    "hangs": ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(60)", "did not answer within 2 s"),
    "computes": ("while True: pass", "did not answer within 2 s"),
    "returns": ("return {'usable': True}", "returned dict and not a Verdict"),
    "unpickled": ("return Verdict(usable=True, facts=(Fact('socket', object()),))", "object"),
    "mistypes": ("return Verdict(usable='yes')", "verdict is malformed: usable"),
    "misplaces": ("return Verdict(True, devices=(Device('x', addresses=('10.0.0',)),))", "ValueError: '10.0.0'"),
    "floods": ("return Verdict(usable=True, facts=(Fact('x', 'y' * 5_000_000),))", "longer than 1048576 bytes"),
}


def test_every_misbehaviour_is_a_verdict_and_the_good_probe_is_heard(site):
    # The pipe's number is not known to a plugin, so one writes into all that are open.
    garbage = "for fd in range(3, 64):\n    try: os.write(fd, b'garbage')\n    except OSError: pass\n"
    site.add("good", "print('noise on stdout'); return Verdict(usable=True, facts=(Fact('port', str(settings.port)),))")
    site.add("garbage", garbage + "os._exit(0)")
    for name, (body, _) in FAILURES.items():
        site.add(name, body)
    registry = discover(environ={})
    settings = {"good": registry.plugins["good"].spec.settings.model_validate({"port": 40123})}
    begin = time.monotonic()
    plugins = [plugin for name, plugin in registry.plugins.items() if name != "sockets"]
    verdicts = run_probes(plugins, settings)
    assert time.monotonic() - begin < 60, "they run side by side, and each within its limit"
    assert verdicts["good"].usable
    assert verdicts["good"].facts == (Fact("port", "40123"),)
    found = {name: verdict.obstacles[0].found for name, verdict in verdicts.items() if name != "good"}
    assert "not a verdict" in found["garbage"]
    for name, (_, expected) in FAILURES.items():
        assert expected in found[name], name
        assert not verdicts[name].usable
    unanswered = {name for name, verdict in verdicts.items() if isinstance(verdict, Unanswered)}
    assert unanswered == {"crash", "aborts", "stops", "hangs", "computes", "floods"}
    assert "a driver probes again" in verdicts["hangs"].obstacles[0].next
    assert Fact("output", "vendor panic: no huge pages") in verdicts["aborts"].facts
    assert any(fact.name == "traceback" and "OSError" in fact.value for fact in verdicts["raises"].facts)


def test_what_a_probe_started_is_killed_with_it(site, tmp_path):
    note = tmp_path / "pid"
    site.add(
        "forks",
        f"pid = os.fork()\nif pid == 0:\n    time.sleep(600)\nopen({str(note)!r}, 'w').write(str(pid))\n"
        "return Verdict(usable=True)",
    )
    verdicts = run_probes([discover(environ={}).plugins["forks"]], {})
    assert verdicts["forks"].usable
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        try:
            state = Path(f"/proc/{note.read_text()}/stat").read_text().split()[2]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        os.sched_yield()
    pytest.fail("the probe's own child lives on")


def test_probes_leave_no_descriptor_behind(site):
    site.add("good")
    site.add("leaves", "os._exit(3)")
    registry = discover(environ={})
    plugins = [registry.plugins["good"], registry.plugins["leaves"]]
    run_probes(plugins, {})
    before = len(list(Path("/proc/self/fd").iterdir()))
    run_probes(plugins, {})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_host_that_ignores_the_end_of_its_children_is_answered(site):
    site.add("good")
    registry = discover(environ={})
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run_probes([registry.plugins["good"]], {})["good"].usable
    finally:
        signal.signal(signal.SIGCHLD, before)
