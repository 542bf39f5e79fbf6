"""The commands that bring a driver of their own."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framelane.client import Client

LIMIT_S = 100


def test_the_demo_prints_what_served_it_and_leaves_nothing(free_port: Callable[[], int]) -> None:
    command = [sys.executable, "-m", "framelane", "demo", "--size", "4", "-n", "300", "--port", str(free_port() - 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors
    lines = output.splitlines()
    assert lines[0].startswith("transport: sockets (")
    assert lines[1].startswith("file: 4 MiB") and lines[1].endswith("identical")
    assert any(line.strip().startswith("99.9 %") for line in lines)
    assert not list(Path("/dev/shm").glob(f"framelane-demo-{process.pid}-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_in_the_foreground_ends_cleanly(number: signal.Signals, wait: Callable[..., None]) -> None:
    directory = Path(f"/dev/shm/framelane-test-foreground-{number}")
    command = [sys.executable, "-m", "framelane", "driver", "--dir", str(directory)]
    command += ["--set", "driver.dir_delete_on_shutdown=true", "--set", "driver.dir_delete_on_start=true"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        with Client(directory) as client:
            client.add_subscription("aeron:ipc", 1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors
        assert f"serves {directory}" in errors and "driver closed" in errors
        assert not directory.exists()
    finally:
        process.kill()
        process.wait()


def test_two_drivers_do_not_share_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "driver"
    command = [sys.executable, "-m", "framelane", "driver", "--dir", str(directory)]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        Client(directory).close()
        second = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert second.returncode == 1
        assert "Active media driver detected" in second.stderr
    finally:
        first.terminate()
        first.wait(LIMIT_S)


def test_the_doctor_judges_what_is_configured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "framelane", "doctor", "--dir", str(tmp_path), "--json"]
    command += ["--set", "driver.socket_so_rcvbuf=1g"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1, done.stderr
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["net.core.rmem_max"]["state"] == "failure"
    assert findings["net.core.rmem_max"]["next"] == "sysctl -w net.core.rmem_max=1073741824"
