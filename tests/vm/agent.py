"""Runs in the virtual machine in the place of init: takes commands as lines of JSON from the second serial port."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tty
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def perform(question: dict[str, Any], serial: int) -> dict[str, Any]:
    if "run" in question:
        try:
            done = subprocess.run(
                question["run"],
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=question["limit_s"],
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            text = (error.stdout or b"").decode(errors="replace")
            return {"status": -1, "stdout": text, "stderr": f"not within {question['limit_s']} s"}
        return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    if "start" in question:
        log = f"/run/log-{serial}"
        with Path(log).open("wb") as file:
            started = subprocess.Popen(question["start"], env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)
        return {"log": log, "pid": started.pid}
    if "write" in question:
        Path(question["write"]).write_text(question["text"])
        return {}
    text = ""
    with contextlib.suppress(FileNotFoundError):
        text = Path(question["read"]).read_text(errors="replace")
    return {"text": text}


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], env=ENVIRONMENT, check=True)
    descriptor = os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    with os.fdopen(descriptor, "r+b", buffering=0) as port:
        answer: dict[str, Any] = {"ready": True}
        received = b""
        serial = 0
        while True:
            line = json.dumps(answer).encode() + b"\n"
            while line:
                line = line[port.write(line) :]
            while b"\n" not in received:
                received += port.read(4096)
            question, _, received = received.partition(b"\n")
            serial += 1
            try:
                answer = perform(json.loads(question), serial)
            except OSError as error:
                answer = {"status": -1, "stdout": "", "stderr": str(error), "text": str(error), "log": "", "pid": 0}


main()
