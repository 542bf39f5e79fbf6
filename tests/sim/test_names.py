"""Names that come to mean another address."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from framelane.channel import ChannelError, ErrorCode
from framelane.protocol.commands import AddExclusivePublication, AddSubscription
from framelane.protocol.error_codes import ErrorCode as ProtocolErrorCode
from framelane.protocol.events import AvailableImage, ErrorResponse, ExclusivePublicationReady, SubscriptionReady
from framelane.testing.simulation import Simulation


class Names:
    def __init__(self, **names):
        self.names = names

    def resolve(self, host, parameter):
        if host not in self.names:
            raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")
        return ip_address(self.names[host])


@pytest.fixture
def world(tmp_path):
    with Simulation(tmp_path) as world:
        yield world


def test_a_publication_follows_its_peer_to_another_address(world):
    names = Names(peer="10.0.0.3")
    sender = world.driver("10.0.0.1", resolver=names).client()
    receiver = world.driver("10.0.0.2").client()
    receiver.call(
        AddSubscription,
        SubscriptionReady,
        registration_correlation_id=-1,
        stream_id=7,
        channel="aeron:udp?endpoint=10.0.0.2:40123",
    )
    sender.call(
        AddExclusivePublication, ExclusivePublicationReady, stream_id=7, channel="aeron:udp?endpoint=peer:40123"
    )

    names.names["peer"] = "10.0.0.2"
    image = receiver.wait(AvailableImage)

    assert image.source_identity.startswith("10.0.0.1:")
    assert sender.counters.value(25) == 1


def test_an_unknown_host_is_answered_with_its_code(world):
    client = world.driver("10.0.0.1", resolver=Names()).client()

    error = client.call(AddExclusivePublication, ErrorResponse, stream_id=7, channel="aeron:udp?endpoint=nobody:40123")

    assert error.error_code == ProtocolErrorCode.UNKNOWN_HOST
    assert "nobody" in error.error_message
