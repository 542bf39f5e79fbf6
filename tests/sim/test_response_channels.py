"""Requests and their responses, each sent to the one who asked (wire 3.10, shm 9.14)."""

from __future__ import annotations

import pytest

from framelane.protocol.commands import AddPublication, RemovePublication
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import AvailableImage, ErrorResponse, OperationSuccess, PublicationReady
from framelane.testing.simulation import SECOND
from support.commanding import deliver, images_of, publish, subscribe

REQUESTS = "aeron:udp?endpoint=10.0.0.1:40123"
RESPONSES = "aeron:udp?control-mode=response|control=10.0.0.1:40124"
REQUEST_STREAM, RESPONSE_STREAM = 7, 8


def request_of(client):
    """Add a response subscription and a request publication; returns both answers."""
    responses = subscribe(client, RESPONSES, RESPONSE_STREAM)
    requests = publish(client, f"{REQUESTS}|response-correlation-id={responses.correlation_id}", REQUEST_STREAM)
    return responses, requests


@pytest.fixture
def server(world):
    client = world.driver("10.0.0.1").client()
    subscribe(client, REQUESTS, REQUEST_STREAM)
    return client


@pytest.fixture
def clients(world):
    return [world.driver(f"10.0.0.{number}").client() for number in (2, 3)]


def test_each_client_gets_the_responses_to_its_own_requests(world, server, clients):
    everyone = [server, *clients]
    for number, client in enumerate(clients):
        _, requests = request_of(client)
        image = server.wait(AvailableImage, lambda event, ready=requests: event.session_id == ready.session_id)
        response = publish(server, f"{RESPONSES}|response-correlation-id={image.correlation_id}", RESPONSE_STREAM)
        received = client.wait(AvailableImage, lambda event: event.stream_id == RESPONSE_STREAM)
        assert received.session_id == response.session_id
        deliver(world, [client.writer(requests)], [server.reader(image)], everyone, [b"request"] * 20)
        deliver(world, [server.writer(response)], [client.reader(received)], everyone, [bytes([number]) * 100] * 300)
    world.run(SECOND // 2)
    assert [len(images_of(client, RESPONSE_STREAM)) for client in clients] == [1, 1]


def test_a_response_publication_waits_for_the_client_and_then_the_request_is_answered_no_more(world, server, clients):
    request_of(clients[0])
    image = server.wait(AvailableImage)
    publish(server, f"{RESPONSES}|response-correlation-id={image.correlation_id}", RESPONSE_STREAM)
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
        response = publish(server, channel, RESPONSE_STREAM)
        received = client.wait(AvailableImage, lambda event, ready=response: event.session_id == ready.session_id)
        deliver(world, [server.writer(response)], [client.reader(received)], [server, client], [b"response"] * 20)
        server.call(RemovePublication, OperationSuccess, registration_id=response.registration_id, flags=0)


def test_responses_over_ipc_go_to_the_subscription_of_the_request(world, server):
    responses = subscribe(server, "aeron:ipc?control-mode=response", RESPONSE_STREAM)
    requests = publish(server, f"aeron:ipc?response-correlation-id={responses.correlation_id}", REQUEST_STREAM)
    publish(server, "aeron:ipc", RESPONSE_STREAM)
    response = publish(server, f"aeron:ipc?response-correlation-id={requests.registration_id}", RESPONSE_STREAM)
    received = server.wait(AvailableImage)
    assert received.session_id == response.session_id
    world.run(SECOND // 10)
    assert len(images_of(server, RESPONSE_STREAM)) == 1


def test_a_request_names_a_subscription_that_receives_over_udp(server, clients):
    client = clients[0]
    ipc = subscribe(client, "aeron:ipc?control-mode=response", RESPONSE_STREAM)
    spy = subscribe(client, f"aeron-spy:{REQUESTS}", RESPONSE_STREAM)
    for named in (99, "prototype", ipc.correlation_id, spy.correlation_id):
        channel = f"{REQUESTS}|response-correlation-id={named}"
        answer = client.call(AddPublication, ErrorResponse, stream_id=REQUEST_STREAM, channel=channel)
        assert answer.error_code == ErrorCode.GENERIC_ERROR
        assert "unable to find response subscription" in answer.error_message
    publish(client, f"{REQUESTS}|response-correlation-id=-1", REQUEST_STREAM)


def test_only_an_image_that_asks_for_responses_gets_them(world, server, clients):
    plain = publish(clients[0], REQUESTS, REQUEST_STREAM)
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
    publish(server, f"{RESPONSES}|response-correlation-id={image.correlation_id}", RESPONSE_STREAM)
    assert here.response_session_id is None
