"""Names that come to mean another address."""

from __future__ import annotations

from ipaddress import ip_address

from framelane.channel import ChannelError, ErrorCode
from framelane.protocol.commands import AddExclusivePublication, RemovePublication
from framelane.protocol.error_codes import ErrorCode as ProtocolErrorCode
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    OperationSuccess,
)
from framelane.testing.simulation import MILLISECOND, SECOND
from support.commanding import idle, publish, subscribe


class Names:
    def __init__(self, **names):
        self.names = names

    def resolve(self, host, parameter):
        if host not in self.names:
            raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")
        return ip_address(self.names[host])


def test_a_publication_follows_its_peer_to_another_address(world):
    names = Names(peer="10.0.0.3")
    sender = world.driver("10.0.0.1", resolver=names).client()
    receiver = world.driver("10.0.0.2").client()
    subscribe(receiver, "aeron:udp?endpoint=10.0.0.2:40123")
    publish(sender, "aeron:udp?endpoint=peer:40123")

    names.names["peer"] = "10.0.0.2"
    image = receiver.wait(AvailableImage)

    assert image.source_identity.startswith("10.0.0.1:")
    assert sender.counters.value(25) == 1


def test_a_subscription_looks_for_its_control_only_while_it_hears_nothing(world):
    names = Names(control="10.0.0.1")
    sender = world.driver("10.0.0.1").client()
    receiver = world.driver("10.0.0.2", resolver=names).client()
    subscribe(receiver, "aeron:udp?endpoint=10.0.0.2:40123|control=control:40124")
    publication = publish(sender, "aeron:udp?endpoint=10.0.0.2:40123|control=10.0.0.1:40124")
    receiver.wait(AvailableImage)
    names.names["control"] = "10.0.0.3"

    idle(world, 8 * SECOND, sender, receiver)
    assert receiver.counters.value(25) == 0

    sender.call(RemovePublication, OperationSuccess, registration_id=publication.correlation_id, flags=0)
    idle(world, 14 * SECOND, sender, receiver)
    assert receiver.counters.value(25) == 1
    assert any("control=" in entry.text and "10.0.0.3:40124" in entry.text for entry in receiver.cnc.errors())


def test_a_name_that_comes_to_mean_what_the_socket_cannot_reach_is_an_error_and_changes_nothing(world):
    names = Names(peer="10.0.0.3")
    sender = world.driver("10.0.0.1", resolver=names).client()
    publish(sender, "aeron:udp?endpoint=peer:40123")
    names.names["peer"] = "fd00::1"

    idle(world, 8 * SECOND, sender)

    assert sender.counters.value(25) == 0
    assert any("which the open socket does not reach" in entry.text for entry in sender.cnc.errors())


def test_an_unknown_host_is_answered_with_its_code(world):
    client = world.driver("10.0.0.1", resolver=Names()).client()

    error = client.call(AddExclusivePublication, ErrorResponse, stream_id=7, channel="aeron:udp?endpoint=nobody:40123")

    assert error.error_code == ProtocolErrorCode.UNKNOWN_HOST
    assert "nobody" in error.error_message


def test_names_of_a_table_follow_their_counters(world):
    """The resolver csv_table: -1 disables a name, 0 is its host at first, 1 the other (shm 5.6, type 2001)."""
    table = "table,10.0.0.2,later|away,10.0.0.2,10.0.0.3"
    sender = world.driver(
        "10.0.0.1",
        resolver=Names(later="10.0.0.3", other="10.0.0.3"),
        name_resolver_supplier="csv_table",
        name_resolver_init_args=table,
    ).client()
    receivers = [world.driver(address).client() for address in ("10.0.0.2", "10.0.0.3")]
    counter, away = (one for one in sender.counters if one.type_id == 2001)
    assert counter.label == "NameEntry{name='table', initialResolutionHost='10.0.0.2', reResolutionHost='later'}"
    assert counter.key.rstrip(b"\0") == b"\5\0\0\0table"
    for receiver, address in zip(receivers, ("10.0.0.2", "10.0.0.3"), strict=True):
        subscribe(receiver, f"aeron:udp?endpoint={address}:40123")
    sender.counters.set_value(away.id, -1)
    channel = "aeron:udp?endpoint={}:40123"
    error = sender.call(AddExclusivePublication, ErrorResponse, stream_id=7, channel=channel.format("away"))
    assert error.error_code == ProtocolErrorCode.UNKNOWN_HOST
    assert f"counter {away.id} of csv_table is -1" in error.error_message
    assert "set it to 0 for 10.0.0.2, or to 1 for 10.0.0.3" in error.error_message
    for name in ("other", "table"):
        publish(sender, channel.format(name))
    first = receivers[0].wait(AvailableImage)
    assert receivers[1].wait(AvailableImage).session_id != first.session_id

    sender.counters.set_value(counter.id, 1)
    receivers[0].detach()
    world.drivers[1].close()
    idle(world, 16 * SECOND, sender, receivers[1])
    receivers[1].receive()
    arrived = [event.session_id for event in receivers[1].events if isinstance(event, AvailableImage)]
    assert arrived[-1] == first.session_id
    assert sender.counters.value(25) == 1


def test_drivers_tell_each_other_their_names(world):
    first = world.driver(
        "10.0.0.1", resolver=Names(), driver_resolver_name="first", driver_resolver_interface="127.0.0.1"
    ).driver
    told = first.nouns.gossip.local
    label = world.drivers[0].client().counters.get(25).label
    assert label == "Resolution changes: driverName=first"
    second = world.driver(
        "10.0.0.2",
        resolver=Names(),
        driver_resolver_name="second",
        driver_resolver_interface="127.0.0.1:0",
        driver_resolver_bootstrap_neighbor=f"{told}",
    ).driver

    def knows(driver, name):
        try:
            return str(driver.nouns.resolver.resolve(name, "endpoint")) == "127.0.0.1"
        except ChannelError:
            return False

    world.run_until(lambda: knows(first, "second") and knows(second, "first"), "names", step_ns=10 * MILLISECOND)
