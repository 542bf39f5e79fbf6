"""Streams with several destinations and from several sources, between ours and stock (wire 3.8, 4.12; shm 9.5).

All clients are stock. The tests of two drivers go from ours to stock, and from stock to ours.
"""

from __future__ import annotations

import pytest

from framelane.shm.counter_types import CounterType
from support.drivers import DriverProcess
from support.processes import wait_until
from support.stock_client import StockClient, StockPublication, stream

pytestmark = [pytest.mark.interop, pytest.mark.root]

MANUAL = "aeron:udp?control-mode=manual"


@pytest.fixture(params=["ours to stock", "stock to ours"])
def ends(request: pytest.FixtureRequest, drivers) -> tuple[DriverProcess, DriverProcess]:
    """The sending driver and the receiving one."""
    sender, _, receiver = request.param.split()
    return drivers[sender][0], drivers[receiver][1]


@pytest.fixture
def left(host, ends) -> StockClient:
    """A client of the sending driver."""
    return host.client(ends[0])


@pytest.fixture
def right(host, ends) -> StockClient:
    """A client of the receiving driver."""
    return host.client(ends[1])


def destinations(driver: DriverProcess, publication: StockPublication) -> int:
    """Return how many destinations the publication's driver counts."""
    return next(
        counter.value
        for counter in driver.cnc.counters()
        if counter.type_id == CounterType.MDC_DESTINATIONS and counter.registration_id == publication.registration_id
    )


def test_receivers_that_report_become_destinations_and_lapse(host, ends, left, right) -> None:
    control = host.address()
    publication = left.publish(f"aeron:udp?control={control}|control-mode=dynamic")
    first, second = (
        right.subscribe(f"aeron:udp?endpoint={host.address()}|control={control}|control-mode=dynamic") for _ in range(2)
    )
    for one in (first, second):
        one.wait_for_image(publication.session_id)
    wait_until(lambda: destinations(ends[0], publication) == 2, "two destinations", 10)
    stream(publication, [first, second], 1000)

    second.close()
    wait_until(lambda: destinations(ends[0], publication) == 1, "the second lapses", 15)
    stream(publication, [first], 1000)


def test_destinations_that_are_given_receive_until_they_are_taken_away(host, ends, left, right) -> None:
    publication = left.publish(MANUAL)
    channels = [f"aeron:udp?endpoint={host.address()}" for _ in range(2)]
    first, second = map(right.subscribe, channels)
    for channel in channels:
        publication.add_destination(channel)
    for one in (first, second):
        one.wait_for_image(publication.session_id)
    stream(publication, [first, second], 1000)

    publication.remove_destination(channels[1])
    assert destinations(ends[0], publication) == 1
    stream(publication, [first], 1000)
    wait_until(lambda: not second.images, "the second has no image", 15)
    publication.add_destination(channels[1])
    second.wait_for_image(publication.session_id)
    stream(publication, [first, second], 500)


@pytest.mark.parametrize("way", ["ours to stock", "stock to ours"])
def test_a_subscription_receives_from_two_drivers_at_destinations_of_its_own(host, drivers, way: str) -> None:
    sender, _, receiver = way.split()
    subscription = host.client(drivers[receiver][1]).subscribe(MANUAL)
    channels = [f"aeron:udp?endpoint={host.address()}" for _ in range(2)]
    publications = []
    for driver, channel in zip(drivers[sender], channels, strict=True):
        subscription.add_destination(channel)
        publications.append(host.client(driver).publish(channel))
    for one in publications:
        subscription.wait_for_image(one.session_id)
        stream(one, [subscription], 1000)

    subscription.remove_destination(channels[0])
    wait_until(lambda: len(subscription.images) == 1, "the image of the removed destination goes", 15)
    stream(publications[1], [subscription], 500)


def test_a_stream_that_comes_twice_is_received_once(host, left, right) -> None:
    publication, subscription = left.publish(MANUAL), right.subscribe(MANUAL)
    channels = [f"aeron:udp?endpoint={host.address()}" for _ in range(2)]
    for channel in channels:
        subscription.add_destination(channel)
        publication.add_destination(channel)
    subscription.wait_for_image(publication.session_id)
    stream(publication, [subscription], 1000)
    subscription.remove_destination(channels[0])
    stream(publication, [subscription], 500)
    assert len(subscription.images) == 1


def test_a_destination_of_a_subscription_may_report_to_a_control_address(host, left, right) -> None:
    control = host.address()
    publication = left.publish(f"aeron:udp?control={control}|control-mode=dynamic")
    subscription = right.subscribe(MANUAL)
    subscription.add_destination(f"aeron:udp?endpoint={host.address()}|control={control}")
    subscription.wait_for_image(publication.session_id)
    stream(publication, [subscription], 1000)


def test_a_subscription_has_ipc_and_a_spy_as_destinations(host, drivers) -> None:
    client = host.client(drivers["ours"][0])
    udp = f"aeron:udp?endpoint={host.address()}"
    publications = {"aeron:ipc": client.publish("aeron:ipc"), f"aeron-spy:{udp}": client.publish(f"{udp}|ssc=true")}
    subscription = client.subscribe(MANUAL)
    for channel, publication in publications.items():
        subscription.add_destination(channel)
        subscription.wait_for_image(publication.session_id)
        stream(publication, [subscription], 1000)
    for channel in publications:
        subscription.remove_destination(channel)
    wait_until(lambda: not subscription.images, "no image", 10)


def test_a_spy_reads_alone_and_beside_a_receiver(host, left, right) -> None:
    udp = f"aeron:udp?endpoint={host.address()}"
    publication, spy = left.publish(f"{udp}|ssc=true"), left.subscribe(f"aeron-spy:{udp}")
    spy.wait_for_image(publication.session_id)
    stream(publication, [spy], 1000)
    receiver = right.subscribe(udp)
    receiver.wait_for_image(publication.session_id)
    stream(publication, [spy, receiver], 1000)
    receiver.close()
    stream(publication, [spy], 1000)
