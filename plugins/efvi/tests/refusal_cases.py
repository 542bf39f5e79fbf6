"""What goes wrong with an ef_vi port: adapters that are lost, and what is refused, with what to do.

Run by test_port.py where the plugin is built against the stand-in, in a network namespace of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from efvi_port import ADDRESS, MODELS, Adapters, Port, datagram

from framelane.errors import TransportError
from framelane_efvi.native import STAND_IN_SWITCH
from framelane_efvi.plugin import probe
from framelane_efvi.settings import EfviSettings
from support.native_ops import OpFailedError
from support.processes import wait_until

REMOVED = 4
EBUSY, EEXIST, ENODEV = 16, 17, 19


@pytest.mark.parametrize(("word", "cause"), [("lost=1", "was reset, or taken out"), ("overflow=1", "overflowed")])
@pytest.mark.parametrize("model", MODELS)
def test_a_lost_adapter_is_said_once_with_the_cause_and_opens_again(
    adapters: Adapters, open_port: Callable[..., Port], model: str, word: str, cause: str
) -> None:
    adapters.describe("eth2", f"model={model}")
    near, far = open_port("eth2"), open_port("eth3")
    near.add_filter(ADDRESS, 4000)
    near.events()
    adapters.describe("eth2", word)

    def is_lost() -> bool:
        far.burst(datagram(0))
        far.poll()
        frames = near.ffi.new("fl_rx_frame_t[]", 8)
        return int(near.ops.rx_burst(near.object, 0, frames, 8)) == -ENODEV

    wait_until(is_lost, "the loss")
    ((kind, text),) = near.events()
    assert kind == REMOVED and cause in text
    assert near.events() == []
    near.close()
    adapters.describe("eth2", "lost=0 overflow=0")
    again = open_port("eth2")
    again.add_filter(ADDRESS, 4000)
    far.send(datagram(7))
    assert datagram(7) in [one.data for one in again.receive(1)]


@pytest.mark.parametrize(
    ("whose", "words", "text"),
    [
        ("eth2", "licence=none", "activation key"),
        ("eth2", "vi=ENOSPC", "there are none left"),
        ("eth2", "memreg=ENOMEM", "locked memory"),
        ("eth2", "pd=EPERM", "activation key"),
        ("*", "open=ENOENT", "modprobe sfc_char"),
        ("*", "open=EACCES", "SFC_CHAR_GROUP"),
    ],
)
def test_a_refusal_says_what_to_do(
    adapters: Adapters, open_port: Callable[..., Port], whose: str, words: str, text: str
) -> None:
    adapters.describe(whose, words)
    with pytest.raises(TransportError, match=text):
        open_port("eth2")


@pytest.mark.parametrize(
    ("error", "text"),
    [("EEXIST", "which is another process's"), ("ENOSPC", "no filter or queue left"), ("ENOMEM", "huge")],
)
def test_a_refused_filter_says_who_and_why(
    adapters: Adapters, open_port: Callable[..., Port], error: str, text: str
) -> None:
    near = open_port("eth2")
    adapters.describe("eth2", f"filter={error}")

    def refused() -> str | None:
        try:
            near.add_filter(ADDRESS, 4000)
        except OpFailedError as caught:
            return caught.text
        near.remove_filter(ADDRESS, 4000)
        return None

    found = wait_until(refused, "the refusal")
    assert f"{ADDRESS}:4000 of eth2" in found and text in found


def test_shared_queues_without_huge_pages_say_so(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth2", "model=x3522 hugepages=0")
    near = open_port("eth2")
    with pytest.raises(OpFailedError, match="huge pages of 2 MiB"):
        near.add_filter(ADDRESS, 4000)


def test_the_filter_of_another_process_is_in_the_way(adapters: Adapters, open_port: Callable[..., Port]) -> None:
    adapters.describe("eth2", "model=x3522")
    near, other = open_port("eth2"), open_port("eth2")
    near.add_filter(ADDRESS, 4000)
    with pytest.raises(OpFailedError, match="another process's") as caught:
        other.add_filter(ADDRESS, 4000)
    assert caught.value.code == -EBUSY
    near.remove_filter(ADDRESS, 4000)
    other.add_filter(ADDRESS, 4000)


def test_the_processes_that_may_have_the_filter_are_named(adapters: Adapters) -> None:
    """In a mount namespace with a device file of ours, which another process has open."""
    adapters.describe("eth2", "filter=EEXIST")
    program = (
        "from efvi_port import Port\n"
        "port = Port('eth2')\n"
        "try:\n    port.add_filter('10.88.0.1', 4000)\n"
        "except Exception as error:\n    print(error)\n"
        "port.close()\n"
    )
    script = (
        "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && touch /dev/sfc_char || exit 1; "
        "sleep 60 9</dev/sfc_char & holder=$!; while ! [ -e /proc/$holder/fd/9 ]; do :; done; "
        '"$0" -c "$1"; kill $holder'
    )
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, program]
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}:{here.parents[2] / 'tests'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"another process's: (sleep|sh) \(pid \d+\)", done.stdout), done.stdout + done.stderr


def test_sizes_of_the_librarys_environment_are_taken(
    open_port: Callable[..., Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EF_VI_RXQ_SIZE", "2048")
    monkeypatch.setenv("EF_VI_TXQ_SIZE", "1024")
    port = open_port("eth2")
    assert (port.facts.rx_queue_size, port.facts.tx_queue_size) == (2047, 1023)
    other = open_port("eth3", rx_queue_size=1024)
    assert (other.facts.rx_queue_size, other.facts.tx_queue_size) == (1023, 1023)


@pytest.mark.parametrize(
    ("settings", "text"), [({"transmit": "pio"}, "has no PIO"), ({"datapath": "express"}, "express")]
)
def test_what_the_adapter_has_not_is_refused(
    adapters: Adapters, open_port: Callable[..., Port], settings: dict[str, Any], text: str
) -> None:
    adapters.describe("eth2", "model=x3522")
    with pytest.raises(TransportError, match=text):
        open_port("eth2", **settings)
    verdict = probe(EfviSettings(interface="eth2", **settings))
    assert not verdict.usable and text.split()[-1] in str(verdict.obstacles).lower() + "PIO"


@pytest.mark.parametrize("model", MODELS)
def test_the_verdict_tells_the_model_and_that_it_is_a_stand_in(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    adapters.describe("eth2", f"model={model}")
    verdict = probe(EfviSettings(interface="eth2"))
    facts = {fact.name: fact.value for fact in verdict.facts}
    assert verdict.usable, verdict.obstacles
    assert facts["receives into"] == ("shared buffers" if model == "x3522" else "a descriptor ring")
    assert "stand-in" in facts
    monkeypatch.delenv(STAND_IN_SWITCH)
    refused = probe(EfviSettings(interface="eth2"))
    assert not refused.usable and "stand-in" in refused.obstacles[0].found
    with pytest.raises(TransportError, match="stand-in"):
        Port("eth2")
