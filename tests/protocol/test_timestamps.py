"""Timestamps in data frames (wire 6): what a driver puts into the frames that it sends and receives, as bytes."""

from __future__ import annotations

import struct

import pytest

from framelane._native import lib
from framelane.protocol.commands import AddExclusivePublication, AddPublication, AddSubscription
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    ExclusivePublicationReady,
    PublicationReady,
    SubscriptionReady,
)
from framelane.protocol.frames import DataFrame, FrameType, NakFrame, SetupFrame, StatusMessage, decode_datagram
from framelane.shm.counter_types import CounterType
from framelane.testing.simulation import Simulation
from framelane.testing.station import Run, Station
from framelane.transport.address import Address

DRIVER = Address.of("10.0.0.1", 40123)
PEER = Address.of("10.0.0.2", 40124)
STREAM = 7
SESSION = 0x1234
TERM = 5
TERM_LENGTH = 65536
BEGIN, UNFRAGMENTED = 0x80, 0xC0
LATENCY_NS = 10_000


@pytest.fixture
def world(tmp_path):
    with Simulation(tmp_path, latency_ns=LATENCY_NS) as world:
        yield world


@pytest.fixture
def station(world):
    with Station(world.net.attach(["10.0.0.2"])) as station:
        yield station


def epoch_ns(world):
    return int(lib.fl_clock_epoch(world.clock.native))


def stamp(time_ns):
    return struct.pack("<q", time_ns)


# ---- sending ----


class Sending:
    """A driver with an exclusive publication, and the bare receiver of its datagrams."""

    def __init__(self, world, station, parameters, term_offset=0):
        self.world, self.station = world, station
        self.endpoint = station.open(bind=PEER)
        self.client = world.driver("10.0.0.1").client()
        start = f"init-term-id={TERM}|term-id={TERM}|term-offset={term_offset}"
        channel = f"aeron:udp?endpoint={PEER}|{start}|{parameters}"
        self.ready = self.client.call(
            AddExclusivePublication, ExclusivePublicationReady, stream_id=STREAM, channel=channel
        )
        self.writer = self.client.writer(self.ready)
        self._driver = self.datagrams(lambda frames: frames[0].TYPE is FrameType.SETUP)[-1].source
        self.answer(
            StatusMessage(
                flags=0,
                session_id=self.ready.session_id,
                stream_id=STREAM,
                consumption_term_id=TERM,
                consumption_term_offset=self.writer.position,
                receiver_window=TERM_LENGTH // 2,
                receiver_id=1,
            )
        )
        world.run_until(lambda: self._limit() > self.writer.position, "the publisher limit")

    def _limit(self):
        return self.client.counters.value(self.ready.publication_limit_counter_id)

    def answer(self, frame):
        """Send a frame to the driver."""
        self.endpoint.send_all([Run(frame.encode(), peer=self._driver)])

    def datagrams(self, wanted):
        """Let time pass until datagrams with the wanted frames have come; returns those."""
        found = []

        def look():
            self.station.cycle()
            while self.endpoint.inbox:
                datagram = self.endpoint.inbox.popleft()
                if wanted(decode_datagram(datagram.data)):
                    found.append(datagram)
            return found

        self.world.run_until(look, "a datagram")
        return found

    def send(self, *payloads):
        """Write messages; returns the frames of each datagram that they go out in, and the time of the cycle that
        sends them."""
        for payload in payloads:
            assert self.writer.offer(payload)
        self.world.step()
        time_ns = epoch_ns(self.world)
        return [decode_datagram(one.data) for one in self.datagrams(is_data)], time_ns


def is_data(frames):
    return isinstance(frames[0], DataFrame) and frames[0].type is FrameType.DATA and frames[0].frame_length > 0


@pytest.mark.parametrize("offset", [0, 5, 16])
def test_the_first_frame_of_each_datagram_has_the_time_of_sending_in_its_payload(world, station, offset):
    sending = Sending(world, station, f"channel-snd-ts-offset={offset}")
    small, large = b"s" * 40, b"l" * 1376

    datagrams, time_ns = sending.send(small, small, small, large, large, large)

    stamped_small, stamped_large = (
        payload[:offset] + stamp(time_ns) + payload[offset + 8 :] for payload in (small, large)
    )
    assert [[frame.payload for frame in frames] for frames in datagrams] == [
        [stamped_small, small, small],
        [stamped_large],
        [stamped_large],
        [stamped_large],
    ]
    assert all(frame.reserved_value == 0 for frames in datagrams for frame in frames)


def test_the_reserved_value_of_the_first_frame_takes_the_time_of_sending(world, station):
    sending = Sending(world, station, "channel-snd-ts-offset=reserved")

    datagrams, time_ns = sending.send(b"", b"second")

    assert [[(f.reserved_value, f.payload) for f in frames] for frames in datagrams] == [
        [(time_ns, b""), (0, b"second")]
    ]


def test_a_datagram_that_goes_on_with_a_message_has_no_time_of_sending(world, station):
    sending = Sending(world, station, "channel-snd-ts-offset=0")
    assert sending.writer.offer(b"l" * 1376)
    assert sending.writer.offer(b"l" * 1376)
    sending.writer._log.term(0)[5], sending.writer._log.term(0)[1408 + 5] = BEGIN, 0

    datagrams, time_ns = sending.send()

    assert [frame.payload for frames in datagrams for frame in frames] == [stamp(time_ns) + b"l" * 1368, b"l" * 1376]


@pytest.mark.parametrize(("length", "fits"), [(13, True), (12, False), (0, False)])
def test_a_payload_that_has_no_room_for_the_time_of_sending_stays_as_it_is(world, station, length, fits):
    sending = Sending(world, station, "channel-snd-ts-offset=5")
    payload = b"p" * length

    ((frame,),), time_ns = sending.send(payload)

    assert frame.payload == (payload[:5] + stamp(time_ns) if fits else payload)


@pytest.mark.parametrize("parameters", ["channel-snd-ts-offset=-4", "channel-snd-ts-offset=-1", "sparse=true"])
def test_offsets_that_mean_nothing_change_no_byte_of_what_is_sent(world, station, parameters):
    sending = Sending(world, station, parameters)

    ((frame,),), _ = sending.send(b"p" * 64)

    assert (frame.reserved_value, frame.payload) == (0, b"p" * 64)


def test_padding_and_heartbeats_carry_no_time(world, station):
    sending = Sending(world, station, "channel-snd-ts-offset=reserved", term_offset=TERM_LENGTH - 64)

    assert not sending.writer.offer(bytes(64))  # does not fit the term, and pads it
    pads = sending.datagrams(lambda frames: frames[0].type is FrameType.PAD)
    heartbeats = sending.datagrams(lambda frames: frames[0].type is FrameType.DATA and frames[0].frame_length == 0)

    for datagram in (*pads, *heartbeats):
        assert [frame.reserved_value for frame in decode_datagram(datagram.data)] == [0]


def test_a_retransmit_has_the_time_of_its_own_sending_also_in_the_log(world, station):
    sending = Sending(world, station, "channel-snd-ts-offset=0")
    _, first_ns = sending.send(b"p" * 16)
    ids = {"flags": 0, "session_id": sending.ready.session_id, "stream_id": STREAM}

    sending.answer(NakFrame(**ids, term_id=TERM, term_offset=0, length=64))
    world.run_until(lambda: sending.client.counters.value(11) == 1, "a retransmit")  # system counter 11
    again_ns = epoch_ns(world)
    ((frame,),) = [decode_datagram(one.data) for one in sending.datagrams(is_data)]

    assert again_ns > first_ns
    assert frame.payload == stamp(again_ns) + b"p" * 8
    assert bytes(sending.writer._log.term(0)[32:48]) == frame.payload


# ---- receiving ----


def data(offset, payload, *, flags=UNFRAGMENTED, kind=FrameType.DATA, frame_length=None):
    return DataFrame(
        flags=flags,
        frame_length=32 + len(payload) if frame_length is None else frame_length,
        type=kind,
        term_offset=offset,
        session_id=SESSION,
        stream_id=STREAM,
        term_id=TERM,
        payload=payload,
    )


class Receiving:
    """A driver with a subscription and an image, and the bare sender of its datagrams."""

    def __init__(self, world, station, parameters):
        self.world, self.station = world, station
        self.client = world.driver("10.0.0.1").client()
        self.subscribe(parameters)
        self.endpoint = station.open(role=lib.FL_ROLE_SENDER, bind=PEER, peer=DRIVER)
        setup = SetupFrame(
            flags=0,
            term_offset=0,
            session_id=SESSION,
            stream_id=STREAM,
            initial_term_id=TERM,
            active_term_id=TERM,
            term_length=TERM_LENGTH,
            mtu=1408,
            ttl=0,
        )
        self.endpoint.send_all([Run(setup.encode())])
        self.log = self.client._map(self.client.wait(AvailableImage).log_file)

    def subscribe(self, parameters, answer=SubscriptionReady):
        channel = "|".join(filter(None, [f"aeron:udp?endpoint={DRIVER}", *parameters.split("|")]))
        return self.client.call(
            AddSubscription, answer, registration_correlation_id=-1, stream_id=STREAM, channel=channel
        )

    def receive(self, *datagrams):
        """Send datagrams of frames; returns when they arrived at the device and when the driver took them."""
        sent_ns = epoch_ns(self.world)
        self.endpoint.send_all([Run(b"".join(frame.encode() for frame in frames)) for frames in datagrams])
        self.world.step()
        return sent_ns + LATENCY_NS, epoch_ns(self.world)

    def frames(self, length):
        """Return the frames in the first bytes of the image's first term."""
        return decode_datagram(bytes(self.log.term(0)[:length]))


def test_whole_data_frames_that_begin_a_message_have_the_times_of_arrival_and_of_being_taken(world, station):
    receiving = Receiving(world, station, "media-rcv-ts-offset=reserved|channel-rcv-ts-offset=3")
    payload = b"p" * 32

    arrived_ns, taken_ns = receiving.receive(
        [data(0, payload), data(64, payload, flags=BEGIN), data(128, payload, flags=0), data(192, payload)],
        [data(256, payload)],
    )

    stamped = (arrived_ns, payload[:3] + stamp(taken_ns) + payload[11:])
    assert arrived_ns < taken_ns
    assert [(frame.reserved_value, frame.payload) for frame in receiving.frames(320)] == [
        stamped,
        stamped,
        (0, payload),
        stamped,
        stamped,
    ]


def test_each_datagram_of_a_run_is_stamped(world, station):
    receiving = Receiving(world, station, "media-rcv-ts-offset=0|channel-rcv-ts-offset=8")
    frames = [data(offset, bytes(32)) for offset in range(0, 64 * 5, 64)]
    sent_ns = epoch_ns(world)

    receiving.endpoint.send_all([Run(b"".join(frame.encode() for frame in frames), segment_length=64)])
    world.step()

    stamped = stamp(sent_ns + LATENCY_NS) + stamp(epoch_ns(world)) + bytes(16)
    assert [frame.payload for frame in receiving.frames(320)] == [stamped] * 5


@pytest.mark.parametrize(("length", "fits"), [(13, True), (12, False), (0, False)])
def test_a_received_payload_that_has_no_room_stays_as_it_is(world, station, length, fits):
    receiving = Receiving(world, station, "channel-rcv-ts-offset=5")
    payload = b"p" * length

    _, taken_ns = receiving.receive([data(0, payload), data(64 if length else 32, b"behind it")])

    first, second = receiving.frames(128 if length else 96)
    assert first.payload == (payload[:5] + stamp(taken_ns) if fits else payload)
    assert second.payload == b"behind it"


def test_padding_has_no_time_and_ends_the_term(world, station):
    receiving = Receiving(world, station, "media-rcv-ts-offset=reserved|channel-rcv-ts-offset=0")

    receiving.receive([data(0, b"", kind=FrameType.PAD, frame_length=TERM_LENGTH)])

    assert bytes(receiving.log.term(0)[24:64]) == bytes(40)


def test_a_frame_that_came_before_keeps_its_first_time(world, station):
    receiving = Receiving(world, station, "channel-rcv-ts-offset=0")

    _, taken_ns = receiving.receive([data(0, bytes(16))])
    receiving.receive([data(0, bytes(16))])

    (frame,) = receiving.frames(64)
    assert frame.payload == stamp(taken_ns) + bytes(8)


@pytest.mark.parametrize("parameters", ["media-rcv-ts-offset=-4", "channel-rcv-ts-offset=-20", ""])
def test_offsets_that_mean_nothing_change_no_byte_of_what_is_received(world, station, parameters):
    receiving = Receiving(world, station, parameters)

    receiving.receive([data(0, b"p" * 64)])

    assert bytes(receiving.log.term(0)[:96]) == data(0, b"p" * 64).encode()


# ---- sharing an endpoint ----


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("media-rcv-ts-offset=0", "media-rcv-ts-offset=8", "media-rcv-ts-offset=8 existing=0"),
        ("media-rcv-ts-offset=reserved", "", "media-rcv-ts-offset=(not specified) existing=reserved"),
        ("", "channel-rcv-ts-offset=8", "channel-rcv-ts-offset=8 existing=(not specified)"),
    ],
)
def test_subscriptions_of_an_endpoint_agree_on_where_timestamps_go(world, station, first, second, text):
    receiving = Receiving(world, station, first)

    refused = receiving.subscribe(second, ErrorResponse)
    receiving.subscribe(f"{first}|channel-snd-ts-offset=100")

    assert refused.error_code == 11
    assert f"option conflicts with existing subscription: {text} existingChannel=" in refused.error_message


def test_publications_of_an_endpoint_agree_on_where_timestamps_go(world):
    client = world.driver("10.0.0.1").client()

    def add(parameters, answer):
        channel = f"aeron:udp?endpoint={PEER}|{parameters}"
        return client.call(AddPublication, answer, stream_id=STREAM, channel=channel)

    add("channel-snd-ts-offset=0", PublicationReady)
    refused = add("channel-snd-ts-offset=reserved", ErrorResponse)
    add("channel-snd-ts-offset=0|media-rcv-ts-offset=100", PublicationReady)

    assert refused.error_code == 11
    text = "option conflicts with existing publication: channel-snd-ts-offset=reserved existing=0 existingChannel="
    assert text in refused.error_message


def test_the_verdict_and_a_counter_say_whose_timestamps_they_are(world, station):
    receiving = Receiving(world, station, "media-rcv-ts-offset=reserved")

    labels = {counter.type_id: counter.label for counter in receiving.client.counters}
    verdict = labels[CounterType.TRANSPORT_ENDPOINT]
    status = next(c.id for c in receiving.client.counters if c.type_id == CounterType.RECEIVE_CHANNEL_STATUS)

    name = verdict.split()[2]
    assert verdict.endswith("Media receive timestamps are made in software by the transport.")
    assert labels[CounterType.RECEIVE_TIMESTAMPS] == f"media-rcv-timestamps: {status} {name} software"


def test_a_channel_without_media_timestamps_has_no_counter_of_them(world, station):
    receiving = Receiving(world, station, "channel-rcv-ts-offset=reserved")

    assert CounterType.RECEIVE_TIMESTAMPS not in {counter.type_id for counter in receiving.client.counters}
