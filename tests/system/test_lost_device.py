"""Devices that go away under running drivers, between two network namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from framelane.client import Client
from framelane.shm.counter_types import ChannelStatus
from support import losable
from support.drivers import start_driver
from support.namespaces import RIGHT, Link
from support.processes import Processes, wait_until
from support.transfers import ENVIRONMENT
from support.watched_stream import WatchedStream, watch_stream

pytestmark = pytest.mark.root

UNICAST = f"aeron:udp?endpoint={RIGHT}:40123"
MULTICAST = "aeron:udp?endpoint=224.20.30.41:40124"


@pytest.fixture
def away(shared: Path) -> Path:
    """While this file is there, no driver has the device of its transport `losable`."""
    losable.install(shared / "site")
    return shared / "away"


def plugin_environment(shared: Path, away: Path) -> dict[str, str]:
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(shared / "site")])
    return {losable.AWAY: str(away), "PYTHONPATH": path}


@pytest.fixture
def start(processes: Processes, shared: Path, link: Link, away: Path) -> Callable[..., WatchedStream]:
    def start(channel: str = UNICAST, required: Mapping[str, str] = {}, **uses: str) -> WatchedStream:
        drivers = {}
        for side, namespace in (("left", link.left), ("right", link.right)):
            settings = {
                "FRAMELANE_TRANSPORT_USE": uses.get(side, "sockets"),
                **({"FRAMELANE_TRANSPORT_REQUIRE": required[side]} if side in required else {}),
                **plugin_environment(shared, away),
            }
            drivers[side] = start_driver(processes, shared / side, name=side, namespace=namespace, settings=settings)
        return watch_stream(processes, drivers, channel)

    return start


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_stream_fails_over_to_sockets_and_loses_nothing(start, away: Path, side: str) -> None:
    stream = start(**{side: "losable,sockets"})
    before = stream.endpoint(side)
    assert before.transport == "losable"

    away.touch()
    wait_until(lambda: stream.endpoint(side).transport == "sockets", "fail-over", 10)

    stream.goes_on()
    after = stream.endpoint(side)
    assert (after.status, after.label) == (ChannelStatus.ACTIVE, before.label)
    ((passed, why),) = after.passed_over
    assert passed == "losable" and "has lost its device: eth9 was unplugged" in why
    away.unlink()
    stream.finish()
    assert stream.endpoint(side).transport == "sockets"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_required_transport_is_waited_for_and_the_stream_goes_on(start, away: Path, side: str) -> None:
    stream = start(required={side: "losable"}, **{side: "losable,sockets"})

    away.touch()
    wait_until(lambda: stream.endpoint(side).status == ChannelStatus.ERRORED, "status -1", 10)
    wait_until(lambda: "there is no eth9" in stream.errors(side), "a second try", 10)
    assert "is on no transport since losable lost its device (eth9 was unplugged)" in stream.errors(side)
    away.unlink()

    wait_until(lambda: stream.endpoint(side).status == ChannelStatus.ACTIVE, "status 1", 10)
    assert stream.endpoint(side).transport == "losable"
    stream.goes_on()
    stream.finish()


@pytest.mark.parametrize("channel", [UNICAST, MULTICAST], ids=["unicast", "multicast"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_an_address_that_goes_with_its_device_is_bound_when_both_are_back(
    start, away: Path, link: Link, side: str, channel: str
) -> None:
    stream = start(channel, **{side: "losable,sockets"})
    address = stream.endpoint(side).label.split()[-1]

    link.delete_pair()
    away.touch()
    wait_until(lambda: stream.endpoint(side).status == ChannelStatus.ERRORED, "status -1", 10)
    lost = f"at {address} is on no transport since losable lost its device (eth9 was unplugged)"
    assert lost in stream.errors(side)
    assert "sockets does not bind" in stream.errors(side)
    link.make_pair()

    wait_until(lambda: stream.endpoint(side).status == ChannelStatus.ACTIVE, "status 1", 10)
    assert stream.endpoint(side).transport == "sockets"
    stream.goes_on()
    stream.finish()


def test_an_opening_that_needs_the_privileges_which_the_driver_gave_up_says_so(
    processes: Processes, shared: Path, away: Path, port: int
) -> None:
    settings = {
        "FRAMELANE_GROUP": "nogroup",
        "FRAMELANE_TRANSPORT_REQUIRE": "losable",  # so it is opened at the start, by root
        losable.PRIVILEGED: "1",
        **plugin_environment(shared, away),
    }
    driver = start_driver(processes, shared / "driver", settings=settings)
    with Client(driver.directory) as client:
        client.add_subscription(f"aeron:udp?endpoint=127.0.0.1:{port}", 7)

        away.touch()
        wait_until(lambda: "is on no transport" in "\n".join(driver.errors()), "loss", 10)
        away.unlink()
        wait_until(lambda: "not allowed" in "\n".join(driver.errors()), "a try", 10)

    (text,) = {line.strip() for text in driver.errors() for line in text.split("\n") if "not allowed" in line}
    assert "open eth9: not allowed (the driver gave up its privileges at the start and runs as root:nogroup now" in text
    assert "driver.user" in text


def test_sockets_outlive_an_interface_that_is_deleted_and_made_again(start, link: Link) -> None:
    stream = start()

    link.delete_pair()
    silent = stream.count()
    wait_until(lambda: stream.subscriber.output.count("rate") > silent + 4, "silence", 20)
    assert all(stream.endpoint(side).status == ChannelStatus.ACTIVE for side in ("left", "right"))
    link.make_pair()

    stream.goes_on()
    assert all(stream.endpoint(side).status == ChannelStatus.ACTIVE for side in ("left", "right"))
    assert "lost its device" not in stream.errors("left") + stream.errors("right")
    stream.finish()


def test_sockets_join_their_groups_again_on_an_interface_that_was_made_again(start, link: Link) -> None:
    stream = start(MULTICAST)

    link.delete_pair()
    link.make_pair()

    stream.goes_on()
    stream.finish()
