"""A driver on the wire: frames in and out as bytes, its other end a bare station on the simulated network."""

from __future__ import annotations

import pytest

from framelane._native import lib
from framelane.protocol.commands import AddExclusivePublication, AddSubscription
from framelane.protocol.events import AvailableImage, ExclusivePublicationReady, SubscriptionReady
from framelane.protocol.frames import FrameType, SetupFrame, StatusMessage, decode_datagram
from framelane.testing.simulation import MILLISECOND, SECOND, Simulation
from framelane.testing.station import Run, Station
from framelane.transport.address import Address

DRIVER = Address.of("10.0.0.1", 40123)
PEER = Address.of("10.0.0.2", 40124)

SETUP = SetupFrame(
    flags=0,
    term_offset=0,
    session_id=0x1234,
    stream_id=7,
    initial_term_id=5,
    active_term_id=6,
    term_length=65536,
    mtu=1408,
    ttl=0,
)


@pytest.fixture
def world(tmp_path):
    with Simulation(tmp_path) as world:
        yield world


@pytest.fixture
def station(world):
    with Station(world.net.attach(["10.0.0.2"])) as station:
        yield station


def exchange(world, station, endpoint, duration_ns):
    """Let time pass and return the frames that arrived at the endpoint."""
    for _ in range(duration_ns // MILLISECOND):
        world.step()
        station.cycle()
    datagrams = [endpoint.inbox.popleft() for _ in range(len(endpoint.inbox))]
    return [frame for datagram in datagrams for frame in decode_datagram(datagram.data)]


def subscribed(world, channel="aeron:udp?endpoint=10.0.0.1:40123", **settings):
    client = world.driver("10.0.0.1", **settings).client()
    client.call(AddSubscription, SubscriptionReady, registration_correlation_id=-1, stream_id=7, channel=channel)
    return client


def test_a_setup_frame_makes_an_image_at_its_position_and_is_answered_with_a_status_message(world, station):
    client = subscribed(world)
    endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)

    endpoint.send_all([Run(SETUP.encode())])
    frames = exchange(world, station, endpoint, 50 * MILLISECOND)
    image = client.wait(AvailableImage)

    assert image.source_identity == str(PEER)
    assert client.counters.value(image.subscriber_position_counter_id) == 65536
    first = frames[0]
    assert isinstance(first, StatusMessage)
    assert (first.session_id, first.stream_id) == (0x1234, 7)
    assert (first.consumption_term_id, first.consumption_term_offset) == (6, 0)
    assert first.receiver_window == 32768


def test_a_setup_frame_whose_subscription_goes_meanwhile_leaves_nothing_behind(world, station):
    client = subscribed(world)
    other = {"registration_correlation_id": -1, "stream_id": 8, "channel": "aeron:udp?endpoint=10.0.0.1:40123"}
    client.call(AddSubscription, SubscriptionReady, **other)
    driver = client.driver.driver
    first = next(iter(driver.nouns.subscriptions))
    endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)
    endpoint.send_all([Run(SETUP.encode())])
    station.cycle()
    world.clock.advance(MILLISECOND)

    driver.plane.invoke()
    driver.nouns.subscriptions.remove(client.client_id, first.registration_id)
    exchange(world, station, endpoint, 10 * MILLISECOND)

    assert client.cnc.errors() == []
    assert [one.references for one in driver.nouns.receive_endpoints] == [1]


@pytest.mark.parametrize(
    ("parameter", "settings", "group_tag"),
    [
        ("", {}, None),
        ("|gtag=-7", {}, -7),
        ("", {"receiver_group_tag": 9}, 9),
        ("|gtag=3", {"receiver_group_tag": 9}, 3),
    ],
)
def test_status_messages_have_the_group_tag_of_channel_or_driver(world, station, parameter, settings, group_tag):
    subscribed(world, f"aeron:udp?endpoint=10.0.0.1:40123{parameter}", **settings)
    endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)

    endpoint.send_all([Run(SETUP.encode())])
    frames = exchange(world, station, endpoint, 50 * MILLISECOND)

    assert frames[0].group_tag == group_tag


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mtu": 1400}, "mtuLength=1400 of the source is no multiple of 32"),
        ({"mtu": 65504}, "mtuLength=65504 of the source exceeds the initial window of 4096"),
    ],
)
def test_a_setup_frame_that_does_not_fit_is_refused_and_asked_for_again(world, station, changes, text):
    client = subscribed(world, "aeron:udp?endpoint=10.0.0.1:40123|rcv-wnd=4096")
    endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)
    bad = SetupFrame(**{**vars(SETUP), **changes})

    endpoint.send_all([Run(bad.encode())])
    exchange(world, station, endpoint, 10 * MILLISECOND)
    assert not list(client.driver.directory.glob("images/*"))
    errors = [entry.text for entry in client.cnc.errors()]
    dropped = {counter.label: counter.value for counter in client.counters if counter.type_id == 7704}
    assert any(text in one for one in errors) or dropped["dropped-setup-fields"] == 1

    endpoint.send_all([Run(SETUP.encode())])
    exchange(world, station, endpoint, 10 * MILLISECOND)
    assert client.wait(AvailableImage)


def test_a_publication_sends_setup_frames_until_it_hears_a_status_message(world, station):
    client = world.driver("10.0.0.1").client()
    endpoint = station.open(bind=PEER)
    channel = f"aeron:udp?endpoint={PEER}|init-term-id=9|term-id=11|term-offset=64"
    ready = client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel=channel)

    frames = exchange(world, station, endpoint, SECOND)

    setups = [frame for frame in frames if frame.TYPE is FrameType.SETUP]
    assert 8 <= len(setups) <= 11
    setup = setups[0]
    assert (setup.session_id, setup.stream_id) == (ready.session_id, 7)
    assert (setup.initial_term_id, setup.active_term_id, setup.term_offset) == (9, 11, 64)
    assert (setup.term_length, setup.mtu) == (65536, 1408)


def test_a_setup_for_nobody_makes_nothing_and_is_counted(world, station):
    client = subscribed(world)
    endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)

    endpoint.send_all([Run(SetupFrame(**{**vars(SETUP), "stream_id": 8}).encode())])
    exchange(world, station, endpoint, 10 * MILLISECOND)

    dropped = {counter.label: counter.value for counter in client.counters if counter.type_id == 7704}
    assert dropped["dropped-no-interest"] == 1
    assert sum(dropped.values()) == 1
    assert not list(client.driver.directory.glob("images/*"))
