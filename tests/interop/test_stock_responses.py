"""Response channels and names that drivers tell each other, between ours and stock (wire 3.10, 7; shm 9.14).

All clients are stock.
"""

from __future__ import annotations

import pytest

from support.processes import wait_until
from support.stock_client import stream

pytestmark = [pytest.mark.interop, pytest.mark.root]


@pytest.mark.parametrize("way", ["ours to stock", "stock to ours"])
def test_two_clients_each_get_the_responses_to_their_requests(host, drivers, way: str) -> None:
    """From the clients' driver to the server's."""
    asking, _, serving = way.split()
    server = host.client(drivers[serving][0])
    requests, control = f"aeron:udp?endpoint={host.address()}", host.address()
    request_subscription = server.subscribe(requests, 7)
    channel = f"aeron:udp?control-mode=response|control={control}"
    exchanges = []
    for _ in range(2):
        client = host.client(drivers[asking][1])
        responses = client.subscribe(channel, 8)
        request = client.publish(f"{requests}|response-correlation-id={responses.registration_id}", 7)
        image = request_subscription.wait_for_image(request.session_id)
        response = server.publish(f"{channel}|response-correlation-id={image.correlation_id}", 8)
        responses.wait_for_image(response.session_id)
        exchanges.append((request, response, responses))
    for request, response, responses in exchanges:
        stream(request, [request_subscription], 500)
        stream(response, [responses], 1000)
        assert set(responses.received) == {response.session_id}


def test_responses_over_ipc(host, drivers) -> None:
    client = host.client(drivers["ours"][0])
    requests = client.subscribe("aeron:ipc", 7)
    responses = client.subscribe("aeron:ipc?control-mode=response", 8)
    request = client.publish(f"aeron:ipc?response-correlation-id={responses.registration_id}", 7)
    image = requests.wait_for_image(request.session_id)
    response = client.publish(f"aeron:ipc?control-mode=response|response-correlation-id={image.correlation_id}", 8)
    responses.wait_for_image(response.session_id)
    stream(request, [requests], 500)
    stream(response, [responses], 500)


@pytest.mark.parametrize(
    ("network", "kinds"),
    [("127.0.1", ("ours", "stock", "ours")), ("127.0.2", ("stock", "ours", "stock"))],
    ids=["by stock", "by ours"],
)
def test_drivers_tell_each_other_names(host, network: str, kinds: tuple[str, str, str]) -> None:
    """The second is told of by the first and the third, and tells both of each other."""
    names = [f"host-{number}" for number in range(3)]
    clients, drivers = [], []
    for number, kind in enumerate(kinds):
        settings = {
            "AERON_NAME_RESOLVER_SUPPLIER": "driver",
            "AERON_DRIVER_RESOLVER_NAME": names[number],
            "AERON_DRIVER_RESOLVER_INTERFACE": f"{network}.{number}:8050",
            "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR": f"{network}.1:8050" if number != 1 else "",
        }
        drivers.append(host.start(kind, settings))
        clients.append(host.client(drivers[-1]))

    def neighbours(driver) -> int:
        return next(one.value for one in driver.cnc.counters() if one.label.startswith("Resolver neighbors"))

    for driver in drivers:
        wait_until(lambda one=driver: neighbours(one) == 2, "two neighbours", 15)
    # Each looks its own names up: of the next one, and of one that only the second told of.
    for sender, receiver in ((0, 1), (1, 2), (2, 0), (0, 2)):
        port = host.address().rpartition(":")[2]
        subscription = clients[receiver].subscribe(f"aeron:udp?endpoint={network}.{receiver}:{port}")
        publication = clients[sender].publish(f"aeron:udp?endpoint={names[receiver]}:{port}")
        subscription.wait_for_image(publication.session_id)
        stream(publication, [subscription], 100)
    host.close_clients()  # without a driver, the stock client ends its process
    for driver in drivers:
        assert not driver.errors()
        driver.process.end()
