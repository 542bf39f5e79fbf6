"""``framelane transports`` beside a running driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from framelane import MediaDriver
from framelane.client import Client
from framelane.driver.settings import load_settings

SETTINGS = ["driver.counters_buffer_length=1m", "driver.term_buffer_length=64k"]


@pytest.fixture
def launch(tmp_path):
    launched = []

    def launch(*overrides):
        overrides = [f"driver.dir={tmp_path / 'aeron'}", *SETTINGS, *overrides]
        launched.append(MediaDriver.launch(load_settings(environ={}, overrides=overrides)))
        return launched[-1]

    yield launch
    for driver in launched:
        driver.close()


def run(*arguments, environ=None):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
    return subprocess.run(
        [sys.executable, "-c", "from framelane.cli import main; main()", "transports", *arguments],
        env={**inherited, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def chosen(*arguments, environ=None):
    done = run("--json", *arguments, environ=environ)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["chosen"]


def test_the_endpoints_of_a_running_driver_are_shown_with_what_serves_them_and_why(launch):
    driver = launch('transport.use=["efvi", "sockets"]')
    with Client(driver.directory) as client:
        (address,) = client.add_subscription("aeron:udp?endpoint=127.0.0.1:0", 7).local_addresses
        client.add_publication(f"aeron:udp?endpoint={address}|transport=sockets", 7)

        sending, receiving = sorted(chosen("--dir", str(driver.directory)), key=lambda one: one["for"], reverse=True)

        # The driver's reasons, whatever the order of the command itself is.
        assert sending == {
            "for": sending["for"],
            "transport": "sockets",
            "why": "The channel names it with transport=sockets.",
            "passed_over": [],
        }
        assert sending["for"].startswith(f"snd-channel: aeron:udp?endpoint={address}|transport=sockets 127.0.0.1:")
        assert receiving["for"] == f"rcv-channel: aeron:udp?endpoint=127.0.0.1:0 {address}"
        assert receiving["transport"] == "sockets"
        assert receiving["why"] == "It is the first in transport.use that can serve the endpoint."
        (passed,) = receiving["passed_over"]
        assert passed["name"] == "efvi" and "efvi is not usable" in passed["why"]

        text = run(environ={"AERON_DIR": str(driver.directory)}).stdout
        assert f"rcv-channel: aeron:udp?endpoint=127.0.0.1:0 {address}: sockets (It is the first" in text
        assert "  not efvi       efvi is not usable" in text


def test_a_driver_without_endpoints_and_no_driver_show_what_a_channel_would_get(launch, tmp_path):
    driver = launch()
    (choice,) = chosen("--dir", str(driver.directory))
    assert (choice["for"], choice["transport"]) == ("default channel", "sockets")

    driver.close()

    (choice,) = chosen(environ={"AERON_DIR": str(driver.directory)})
    assert (choice["for"], choice["transport"]) == ("default channel", "sockets")
    done = run("--dir", str(driver.directory))
    assert done.returncode == 1
    assert done.stderr.startswith(f"framelane: no driver serves {driver.directory}; ")
