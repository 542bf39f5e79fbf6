"""A transport whose device goes away while the driver runs."""

from __future__ import annotations

import pytest

from framelane._native import ffi, lib
from framelane.protocol.commands import AddPublication, AddSubscription
from framelane.protocol.events import ErrorResponse, PublicationReady, SubscriptionReady
from framelane.shm.counter_types import ChannelStatus
from framelane.testing.simulation import SECOND, Simulation


@pytest.fixture
def world(tmp_path):
    with Simulation(tmp_path) as world:
        yield world


class Device:
    """Reports events in place of a simulated transport."""

    def __init__(self, driver):
        self.coming = []
        self._callback = ffi.callback("int(fl_transport_t *, fl_event_t *, uint32_t)", self._events)
        driver.transport.binding.ops.events = self._callback

    def _events(self, transport, events, capacity):
        taken, self.coming = self.coming[:capacity], self.coming[capacity:]
        for event, (kind, text) in zip(events[0 : len(taken)], taken, strict=True):
            event.kind = kind
            ffi.memmove(event.text, text + b"\0", len(text) + 1)
        return len(taken)


def test_a_lost_device_is_shown_on_its_endpoints_and_gets_no_new_ones(world):
    driver = world.driver("10.0.0.1")
    client, device = driver.client(), Device(driver)
    publication = client.call(
        AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=10.0.0.2:40123"
    )
    subscription = client.call(
        AddSubscription,
        SubscriptionReady,
        registration_correlation_id=-1,
        stream_id=7,
        channel="aeron:udp?endpoint=10.0.0.1:40123",
    )

    device.coming.append((lib.FL_EVENT_REMOVED, b"eth9 was unplugged"))
    world.run(2 * SECOND)

    for ready in (publication, subscription):
        assert client.counters.value(ready.channel_status_counter_id) == ChannelStatus.ERRORED
    texts = [entry.text for entry in client.cnc.errors()]
    assert any("10.0.0.1:40123" in text and "eth9 was unplugged" in text for text in texts)
    error = client.call(AddPublication, ErrorResponse, stream_id=7, channel="aeron:udp?endpoint=10.0.0.3:40123")
    assert "has lost its device: eth9 was unplugged" in error.error_message


def test_a_link_that_goes_down_and_what_a_transport_notes_is_in_the_error_log_and_no_error(world):
    driver = world.driver("10.0.0.1")
    client, device = driver.client(), Device(driver)
    client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:udp?endpoint=10.0.0.2:40123")

    device.coming += [(lib.FL_EVENT_LINK_DOWN, b"eth9"), (lib.FL_EVENT_NOTE, b"too few queues")]
    world.run(2 * SECOND)

    texts = [entry.text for entry in client.cnc.errors()]
    assert any("link down: eth9" in text for text in texts)
    assert any("too few queues" in text for text in texts)
    assert client.counters.value(15) == 0
