"""Short forms of what tests of commands do with a simulated driver."""

from __future__ import annotations

from framelane.protocol.commands import AddSubscription
from framelane.protocol.events import ErrorResponse, SubscriptionReady
from framelane.testing.simulation import MILLISECOND

__all__ = ["UDP", "idle", "kinds", "refused", "subscribe"]

UDP = "aeron:udp?endpoint=10.0.0.2:40123"


def kinds(events):
    return [type(event) for event in events]


def subscribe(client, channel="aeron:ipc", stream_id=7):
    return client.call(
        AddSubscription, SubscriptionReady, registration_correlation_id=-1, stream_id=stream_id, channel=channel
    )


def refused(client, kind, **fields):
    return client.call(kind, ErrorResponse, **fields)


def idle(world, duration_ns, *clients):
    """Let time pass while these clients live."""
    for _ in range(-(-duration_ns // (100 * MILLISECOND))):
        for client in clients:
            client.keep_alive()
        world.run(100 * MILLISECOND, 20 * MILLISECOND)
