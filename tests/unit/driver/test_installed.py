"""Verdicts that a driver doubts, and takes again."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from framelane.driver.clock import VirtualClock
from framelane.driver.installed import Installed
from framelane.driver.settings import load_settings
from framelane.driver.transports import Wanted
from framelane.transport import Capabilities, Obstacle, Verdict
from framelane.transport.probe import Unanswered
from framelane.transport.registry import Registry
from framelane.transport.selection import NoTransportError

SECOND = 1_000_000_000
USABLE = Verdict(True, Capabilities(multicast=True, ipv6=True, queues=0, loops_back=True))
OBSTACLES = (Obstacle("an answer", "none came", "its process", "wait"),)
UNUSABLE = Verdict(False, obstacles=OBSTACLES)
UNANSWERED = Unanswered(False, obstacles=OBSTACLES)


class Machine:
    """A driver's transports, whose probes find what a test says: the next of ``verdicts``, the last one for good."""

    def __init__(self, directory, *verdicts, overrides=("transport.use=['sockets']",), registry=None):
        self.clock = VirtualClock()
        self.verdicts = list(verdicts)
        self.probes = 0
        settings = load_settings(
            environ={},
            overrides=[f"driver.dir={directory}", *overrides, "driver.threading_mode=INVOKER"],
            registry=registry,
        )
        self.installed = Installed(settings, self.clock, 1, probe=self._probe)

    def _probe(self, plugins, settings):
        self.probes += 1
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        return {plugin.name: verdict for plugin in plugins}

    def choose(self, **without):
        wanted = Wanted("a channel", ip_address("127.0.0.1"), 40123, "127.0.0.1:40123", True, None, 1408, None)
        return self.installed.choose(wanted, without).chosen.transport


@pytest.fixture
def machine(tmp_path):
    return lambda *verdicts, **options: Machine(tmp_path / "aeron", *verdicts, **options)


def test_a_probe_that_did_not_get_to_answer_is_taken_again_by_a_later_endpoint(machine):
    driver = machine(UNANSWERED, USABLE)
    with pytest.raises(NoTransportError, match="none came"):
        driver.choose()
    driver.clock.advance(5 * SECOND)
    assert driver.choose() == "sockets"
    assert driver.choose() == "sockets"
    assert driver.probes == 2


def test_probes_that_never_answer_are_taken_less_and_less_often(machine):
    driver = machine(UNANSWERED)
    for _ in range(100):
        with pytest.raises(NoTransportError):
            driver.choose()
        driver.clock.advance(SECOND)
    # At the start and after 5, 10, 20 and 40 seconds more.
    assert driver.probes == 5


def test_what_a_probe_answered_stands(machine):
    driver = machine(UNUSABLE, USABLE)
    for _ in range(3):
        with pytest.raises(NoTransportError):
            driver.choose()
        driver.clock.advance(1000 * SECOND)
    assert driver.probes == 1


def test_after_the_loss_of_its_device_a_transport_is_probed_again(machine):
    driver = machine(USABLE)
    driver.choose()
    driver.installed.on_lost("sockets")
    with pytest.raises(NoTransportError, match="has lost its device"):
        driver.choose(sockets="has lost its device")
    assert driver.probes == 1, "not while it is passed over anyway"
    driver.choose()
    driver.choose()
    assert driver.probes == 2


def test_while_a_lost_device_is_away_opening_it_decides(machine):
    driver = machine(USABLE, UNUSABLE, USABLE)
    driver.choose()
    driver.installed.on_lost("sockets")
    assert driver.choose() == "sockets", "for its opening to say why it fails"
    assert driver.choose() == "sockets"
    assert driver.probes == 2
    driver.installed.open("sockets").close()
    assert driver.choose() == "sockets"
    assert driver.probes == 3, "its device is back, and what the probe says of it is new"


def test_a_device_transport_that_is_configured_and_not_usable_is_told_at_the_start(machine, caplog):
    machine(UNUSABLE, overrides=["transport.dpdk.vdev=net_null"])
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.event == "transport not usable"
    assert record.fields["transport"] == "dpdk"
    assert record.fields["why"] == "dpdk is not usable: an answer: none came (its process)."


def test_a_transport_that_was_named_and_is_not_installed_is_told_at_the_start(machine, caplog):
    machine(USABLE, overrides=["transport.use=['vma', 'sockets']"], registry=Registry({}))
    assert [one.fields["why"] for one in caplog.records] == ["vma is not installed (pip install framelane-vma)."]


def test_device_transports_that_nobody_configured_are_not_warned_of(machine, caplog):
    machine(UNUSABLE, overrides=[])
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
