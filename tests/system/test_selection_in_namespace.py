"""Selection over the kernel's own routes, in a network namespace with a veth pair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
from framelane.transport import *

def probe(settings):
    return Verdict(True, {verdict})

@hookimpl
def framelane_transport():
    return TransportSpec(name={name!r}, summary="a test", abi_version=1, level=Level.PYTHON,
                         settings=TransportSettings, probe=probe, open=lambda settings, context: None)
"""

SCRIPT = """
set -e
ip link set lo up
ip link add va type veth peer name vb
ip addr add 10.9.0.1/24 dev va
ip link set va up
ip link set vb up
ip route add default via 10.9.0.254
exec "$@"
"""

QUESTIONS = """
import json, sys
from ipaddress import ip_address
from framelane.driver.settings import load_settings
from framelane.netstack.routes import NetlinkRoutes
from framelane.transport.question import ask
from framelane.transport.selection import select
from framelane.transport.standing import standings

settings = load_settings(overrides=["transport.use=device,stack"])
standing = standings(settings.registry, settings.transport, hardware={})
answers = {}
with NetlinkRoutes() as routes:
    for text, sends in (("10.9.0.2", True), ("10.9.0.1", True), ("127.0.0.1", True), ("10.9.0.1", False),
                        ("0.0.0.0", False), ("224.0.1.1", False), ("192.0.2.9", True)):
        question = ask(routes, label=text, address=ip_address(text), port=40123, sends=sends)
        chosen = select(settings.transport, standing, question)
        source = str(question.source) if question.source else None
        answers[f"{'to' if sends else 'at'} {text}"] = [chosen.transport, question.interface, source]
print(json.dumps(answers))
"""


def install(site: Path, name: str, verdict: str) -> None:
    (site / f"plugin_{name}.py").write_text(PLUGIN.format(name=name, verdict=verdict))
    info = site / f"test_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: test-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[framelane.transports]\n{name} = plugin_{name}\n")


@pytest.mark.root
def test_selection_follows_the_routes_of_the_kernel(tmp_path):
    install(tmp_path, "device", "Capabilities(multicast=True, queues=2), devices=(Device('va', 'va'),)")
    install(tmp_path, "stack", "Capabilities(multicast=True, ipv6=True, loops_back=True)")

    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--net", "sh", "-c", SCRIPT, "sh", sys.executable, "-c", *command],
            env={**inherited, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    assert json.loads(run(QUESTIONS).stdout) == {
        "to 10.9.0.2": ["device", "va", "10.9.0.1"],
        "to 10.9.0.1": ["stack", "lo", "10.9.0.1"],
        "to 127.0.0.1": ["stack", "lo", "127.0.0.1"],
        "at 10.9.0.1": ["device", "va", None],
        "at 0.0.0.0": ["stack", None, None],
        "at 224.0.1.1": ["device", "va", "10.9.0.1"],
        "to 192.0.2.9": ["device", "va", "10.9.0.1"],
    }
    main = "from framelane.cli import main; main()"
    shown = json.loads(run(main, "transports", "--json", "--set", "transport.use=device,stack").stdout)
    (chosen,) = shown["chosen"]
    assert chosen["transport"] == "device"
