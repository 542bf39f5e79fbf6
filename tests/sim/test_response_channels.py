"""Requests and their responses, each sent to the one who asked (wire 3.10, shm 9.14)."""

from __future__ import annotations

import pytest

from framelane.protocol.commands import (
    AddExclusivePublication,
    AddPublication,
    AddSubscription,
    RemovePublication,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    ExclusivePublicationReady,
    OperationSuccess,
    PublicationReady,
    SubscriptionReady,
)

SECOND = 1_000_000_000
STEP_NS = 20_000_000
REQUESTS = "aeron:udp?endpoint=10.0.0.1:40123"
RESPONSES = "aeron:udp?control-mode=response|control=10.0.0.1:40124"
REQUEST_STREAM, RESPONSE_STREAM = 7, 8


def publish(client, stream_id, channel):
    return client.call(AddExclusivePublication, ExclusivePublicationReady, stream_id=stream_id, channel=channel)


def subscribe(client, stream_id, channel):
    return client.call(
        AddSubscription, SubscriptionReady, stream_id=stream_id, channel=channel, registration_correlation_id=-1
    )


def exchange(world, writer, reader, clients, wanted):
    """Send messages from writer to reader."""
    waiting, arrived = list(wanted), []

    def turn():
        while waiting and writer.offer(waiting[0]):
            waiting.pop(0)
        arrived.extend(reader.frames())
        for client in clients:
            client.keep_alive()
        return len(arrived) == len(wanted)

    world.run_until(turn, "all messages")
    assert arrived == wanted


def request_of(client):
    """Add a response subscription and a request publication; returns both answers."""
    responses = subscribe(client, RESPONSE_STREAM, RESPONSES)
    requests = publish(client, REQUEST_STREAM, f"{REQUESTS}|response-correlation-id={responses.correlation_id}")
    return responses, requests


def images_of(client, stream_id):
    client.receive()
    return [one for one in client.events if isinstance(one, AvailableImage) and one.stream_id == stream_id]


@pytest.fixture
def server(world):
    client = world.driver("10.0.0.1").client()
    subscribe(client, REQUEST_STREAM, REQUESTS)
    return client


@pytest.fixture
def clients(world):
    return [world.driver(f"10.0.0.{number}").client() for number in (2, 3)]


def test_each_client_gets_the_responses_to_its_own_requests(world, server, clients):
    everyone = [server, *clients]
    for number, client in enumerate(clients):
        _, requests = request_of(client)
        image = server.wait(AvailableImage, lambda event, ready=requests: event.session_id == ready.session_id)
        response = publish(server, RESPONSE_STREAM, f"{RESPONSES}|response-correlation-id={image.correlation_id}")
        received = client.wait(AvailableImage, lambda event: event.stream_id == RESPONSE_STREAM)
        assert received.session_id == response.session_id
        exchange(world, client.writer(requests), server.reader(image), everyone, [b"request"] * 20)
        exchange(world, server.writer(response), client.reader(received), everyone, [bytes([number]) * 100] * 300)
    world.run(SECOND // 2)
    assert [len(images_of(client, RESPONSE_STREAM)) for client in clients] == [1, 1]


def test_a_response_publication_waits_for_the_client_and_then_the_request_is_answered_no_more(world, server, clients):
    request_of(clients[0])
    image = server.wait(AvailableImage)
    publish(server, RESPONSE_STREAM, f"{RESPONSES}|response-correlation-id={image.correlation_id}")
    clients[0].wait(AvailableImage)
    (here,) = server.driver.driver.nouns.images
    world.run(SECOND // 2)
    assert here.response_session_id is None


def test_a_second_response_to_a_request_is_received_in_place_of_the_first(world, server, clients):
    client = clients[0]
    request_of(client)
    image = server.wait(AvailableImage)
    channel = f"{RESPONSES}|response-correlation-id={image.correlation_id}"
    for _ in range(2):
        response = publish(server, RESPONSE_STREAM, channel)
        received = client.wait(AvailableImage, lambda event, ready=response: event.session_id == ready.session_id)
        exchange(world, server.writer(response), client.reader(received), [server, client], [b"response"] * 20)
        server.call(RemovePublication, OperationSuccess, registration_id=response.registration_id, flags=0)


def test_responses_over_ipc_go_to_the_subscription_of_the_request(world, server):
    responses = subscribe(server, RESPONSE_STREAM, "aeron:ipc?control-mode=response")
    requests = publish(server, REQUEST_STREAM, f"aeron:ipc?response-correlation-id={responses.correlation_id}")
    publish(server, RESPONSE_STREAM, "aeron:ipc")
    response = publish(server, RESPONSE_STREAM, f"aeron:ipc?response-correlation-id={requests.registration_id}")
    received = server.wait(AvailableImage)
    assert received.session_id == response.session_id
    world.run(SECOND // 10)
    assert len(images_of(server, RESPONSE_STREAM)) == 1


def test_a_request_names_a_subscription_that_receives_over_udp(server, clients):
    client = clients[0]
    ipc = subscribe(client, RESPONSE_STREAM, "aeron:ipc?control-mode=response")
    spy = subscribe(client, RESPONSE_STREAM, f"aeron-spy:{REQUESTS}")
    for named in (99, "prototype", ipc.correlation_id, spy.correlation_id):
        channel = f"{REQUESTS}|response-correlation-id={named}"
        answer = client.call(AddPublication, ErrorResponse, stream_id=REQUEST_STREAM, channel=channel)
        assert answer.error_code == ErrorCode.GENERIC_ERROR
        assert "unable to find response subscription" in answer.error_message
    publish(client, REQUEST_STREAM, f"{REQUESTS}|response-correlation-id=-1")


def test_only_an_image_that_asks_for_responses_gets_them(world, server, clients):
    plain = publish(clients[0], REQUEST_STREAM, REQUESTS)
    image = server.wait(AvailableImage, lambda event: event.session_id == plain.session_id)
    for channel in (
        RESPONSES,
        f"{RESPONSES}|response-correlation-id={image.correlation_id}",
        f"{RESPONSES}|response-correlation-id=99",
        f"{RESPONSES}|response-correlation-id=-2",
    ):
        answer = server.call(AddPublication, ErrorResponse, stream_id=RESPONSE_STREAM, channel=channel)
        assert answer.error_code == ErrorCode.GENERIC_ERROR
    prototype = server.call(
        AddPublication,
        PublicationReady,
        stream_id=RESPONSE_STREAM,
        channel=f"{RESPONSES}|response-correlation-id=prototype|term-length=1m",
    )
    assert server._map(prototype.log_file).native.term_length == 65536


def test_a_request_that_goes_while_its_response_is_made_is_not_told_of_it(world, server, clients, monkeypatch):
    request_of(clients[0])
    image = server.wait(AvailableImage)
    images, services = server.driver.driver.nouns.images, server.driver.driver.nouns.publications._services
    (here,) = images
    make = services.storage.create_publication

    def slow(metadata):
        images._discard(here)
        return make(metadata)

    monkeypatch.setattr(services.storage, "create_publication", slow)
    publish(server, RESPONSE_STREAM, f"{RESPONSES}|response-correlation-id={image.correlation_id}")
    assert here.response_session_id is None
