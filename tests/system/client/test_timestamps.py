"""Timestamps in messages, over sockets with the system's clock: put in by our driver and by the stock one alike."""

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from framelane.client import Client, Publication, RegistrationError, Subscription
from framelane.client.header import Header

STREAM = 1001
SEND, MEDIA, RECEIVE = "channel-snd-ts-offset", "media-rcv-ts-offset", "channel-rcv-ts-offset"

Wait = Callable[..., None]


def open_stream(client: Client, channel: str, wait: Wait) -> tuple[Publication, Subscription]:
    subscription = client.add_subscription(channel, STREAM)
    publication = client.add_exclusive_publication(channel, STREAM)
    wait(lambda: publication.is_connected)
    return publication, subscription


def take_fragments(subscription: Subscription, count: int, wait: Wait) -> list[tuple[bytes, Header]]:
    taken: list[tuple[bytes, Header]] = []

    def poll() -> bool:
        subscription.poll(lambda data, header: taken.append((bytes(data), header)), 10)
        return len(taken) >= count

    wait(poll)
    return taken


def times(data: bytes, *offsets: int) -> list[int]:
    return [struct.unpack_from("<q", data, offset)[0] for offset in offsets]


def test_a_message_has_the_times_of_sending_of_arrival_and_of_being_taken(driver: Any, wait: Wait, udp: str) -> None:
    with Client(driver.directory) as client:
        publication, subscription = open_stream(client, f"{udp}|{SEND}=3|{MEDIA}=reserved|{RECEIVE}=16", wait)
        last_ns = 0
        for _ in range(50):
            began_ns = time.time_ns()
            publication.offer_blocking(b"m" * 32, 20)
            ((data, header),) = take_fragments(subscription, 1, wait)
            ended_ns = time.time_ns()

            sent_ns, taken_ns = times(data, 3, 16)
            assert data == b"mmm" + data[3:11] + b"m" * 5 + data[16:24] + b"m" * 8
            assert began_ns <= sent_ns <= header.reserved_value <= taken_ns <= ended_ns
            assert last_ns <= sent_ns
            last_ns = sent_ns


def test_only_the_first_fragment_of_a_message_is_stamped(driver: Any, wait: Wait, udp: str) -> None:
    with Client(driver.directory) as client:
        publication, subscription = open_stream(client, f"{udp}|{SEND}=0|{MEDIA}=reserved|{RECEIVE}=8", wait)
        began_ns = time.time_ns()
        publication.offer_blocking(b"m" * 5000, 20)
        (data, header), *others = take_fragments(subscription, 4, wait)
        sent_ns, taken_ns = times(data, 0, 8)

        assert began_ns <= sent_ns <= header.reserved_value <= taken_ns <= time.time_ns()
        assert data[16:] == b"m" * (len(data) - 16)
        assert b"".join(other for other, _ in others) == b"m" * (5000 - len(data))
        assert [other.reserved_value for _, other in others] == [0, 0, 0]


def test_of_the_messages_of_a_datagram_at_least_the_first_is_stamped(driver: Any, wait: Wait, udp: str) -> None:
    with Client(driver.directory) as client:
        publication, subscription = open_stream(client, f"{udp}|{SEND}=reserved|{RECEIVE}=0", wait)
        began_ns = time.time_ns()
        assert publication.offer_batch([bytes(8)] * 20)[0] == 20
        fragments = take_fragments(subscription, 20, wait)
        ended_ns = time.time_ns()

        # How many datagrams they went out in is the sender's to say, and stock stamps none behind the first of each.
        pairs = [(header.reserved_value, *times(data, 0)) for data, header in fragments]
        assert all(began_ns <= stamp <= ended_ns for stamp in pairs[0])
        assert all(stamp == 0 or began_ns <= stamp <= ended_ns for pair in pairs for stamp in pair)


def test_a_message_without_room_stays_as_it_is(driver: Any, wait: Wait, udp: str) -> None:
    with Client(driver.directory) as client:
        publication, subscription = open_stream(client, f"{udp}|{SEND}=0|{MEDIA}=100|{RECEIVE}=57", wait)
        received = []
        for length in (0, 7, 64, 65):
            publication.offer_blocking(b"m" * length, 20)
            received += [data for data, _ in take_fragments(subscription, 1, wait)]
        empty, seven, short, exact = received

        assert (empty, seven) == (b"", b"m" * 7)
        assert short[8:] == b"m" * 56
        assert exact[8:57] == b"m" * 49
        assert exact[57:] != b"m" * 8


@pytest.mark.parametrize("side", ["subscription", "publication"])
def test_what_shares_an_endpoint_and_differs_is_refused(driver: Any, udp: str, side: str) -> None:
    with Client(driver.directory) as client:
        add: Callable[[str, int], object] = getattr(client, f"add_{side}")
        key = MEDIA if side == "subscription" else SEND
        first = add(f"{udp}|{key}=0", STREAM)
        for parameter in (f"|{key}=8", ""):
            with pytest.raises(RegistrationError, match="option conflicts with existing"):
                add(f"{udp}{parameter}", STREAM)
        del first


def test_ipc_takes_no_timestamps_and_no_offence(driver: Any, wait: Wait) -> None:
    with Client(driver.directory) as client:
        publication, subscription = open_stream(client, f"aeron:ipc?term-length=64k|{SEND}=0|{RECEIVE}=text", wait)
        publication.offer_blocking(b"m" * 32, 20)
        ((data, header),) = take_fragments(subscription, 1, wait)
        assert (data, header.reserved_value) == (b"m" * 32, 0)
