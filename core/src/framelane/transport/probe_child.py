"""The child process of a probe: runs one plugin's ``probe`` and passes the verdict back as JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from typing import Any

from pydantic import TypeAdapter

from framelane.transport.registry import Claim, load_plugin
from framelane.transport.spec import Verdict

__all__ = ["READY", "main"]

#: Written before the plugin is touched; the probe's time begins when the parent reads it.
READY = b"ready\n"


def main(request: dict[str, Any]) -> None:
    """Probe as asked and end the process.

    :param request: ``claim`` (fields of :class:`Claim`), ``settings``, ``fd`` (where the answer goes) and
        ``lifetime_s``, after which the kernel ends this process even if the parent is gone.
    """
    fd: int = request["fd"]
    os.set_inheritable(fd, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(request["lifetime_s"])
    os.write(fd, READY)
    try:
        plugin = load_plugin(Claim(**request["claim"]))
        verdict = plugin.spec.probe(plugin.spec.settings.model_validate_json(request["settings"]))
        if not isinstance(verdict, Verdict):
            raise TypeError(f"probe returned {type(verdict).__name__} and not a Verdict: {verdict!r:.200}")
        answer: dict[str, Any] = {"verdict": TypeAdapter(Verdict).dump_python(verdict, mode="json", warnings=False)}
        text = json.dumps(answer)
    except BaseException as error:
        text = json.dumps({"raised": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(text.encode())
    # A vendor library's exit handlers are not part of the probe, and some of them hang.
    os._exit(0)
