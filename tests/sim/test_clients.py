"""How a driver sees its clients come, stay and go."""

from __future__ import annotations

from framelane.protocol import commands
from framelane.protocol.commands import (
    AddCounter,
    AddPublication,
    AddStaticCounter,
    ClientClose,
)
from framelane.protocol.events import (
    AvailableImage,
    ClientTimeout,
    CounterReady,
    PublicationReady,
    StaticCounterReady,
    UnavailableCounter,
)
from framelane.testing.simulation import SECOND
from support.commanding import idle, kinds, refused, subscribe


def test_a_new_client_is_announced_before_the_answer(client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert kinds(client.events) == [CounterReady, PublicationReady]
    heartbeat = client.events[0]
    counter = client.counters.get(heartbeat.counter_id)
    assert heartbeat.correlation_id == client.client_id
    assert (counter.type_id, counter.label) == (11, f"client-heartbeat: id={client.client_id}")
    assert (counter.registration_id, counter.owner_id) == (client.client_id, client.client_id)
    assert ready.registration_id == ready.correlation_id
    assert ready.channel_status_counter_id == -1


def test_a_static_counter_is_found_again_and_outlives_its_client(world, client):
    fields = {"registration_id": 5, "type_id": 1001, "key": b"", "label": "static"}
    first = client.call(AddStaticCounter, StaticCounterReady, **fields)
    again = client.call(AddStaticCounter, StaticCounterReady, **fields)
    client.send(ClientClose)
    idle(world, 3 * SECOND)

    assert again.counter_id == first.counter_id
    assert client.counters.get(first.counter_id).owner_id == -1

    mine = client.call(AddCounter, CounterReady, type_id=1002, key=b"", label="mine")
    error = refused(client, AddStaticCounter, **{**fields, "type_id": 1002, "registration_id": mine.correlation_id})
    assert error.error_message.startswith("cannot add static counter, because a non-static counter exists")


def test_a_silent_client_times_out_and_all_it_had_goes(world, client):
    watcher = client.driver.client()
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    subscribe(client)
    counter = client.call(AddCounter, CounterReady, type_id=1001, key=b"", label="mine")
    client.wait(AvailableImage)
    heartbeat = client.events[0]
    watcher.receive()
    watcher.events.clear()

    idle(world, 15 * SECOND)
    watcher.receive()

    assert watcher.events == [
        ClientTimeout(client.client_id),
        UnavailableCounter(client.client_id, heartbeat.counter_id),
        UnavailableCounter(counter.correlation_id, counter.counter_id),
    ]
    assert watcher.counters.value(24) == 1
    assert not list(client.driver.directory.rglob("*.logbuffer"))
    assert {counter.type_id for counter in watcher.counters} & {1, 4, 11, 12, 1001} == set()


def test_a_closing_client_goes_on_the_next_timer_pass_without_a_timeout(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    heartbeat = client.events[0]

    client.send(ClientClose)
    client.wait(UnavailableCounter)

    assert client.events[-1] == UnavailableCounter(client.client_id, heartbeat.counter_id)
    assert ClientTimeout not in kinds(client.events)
    assert client.counters.value(24) == 0


def test_a_client_that_keeps_alive_is_not_timed_out(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    idle(world, 25 * SECOND, client)
    client.receive()

    assert ClientTimeout not in kinds(client.events)


def test_keepalive_by_command_refreshes_the_heartbeat(world, client):
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    for _ in range(20):
        client.send(commands.ClientKeepalive)
        idle(world, SECOND)
    client.receive()

    assert ClientTimeout not in kinds(client.events)
