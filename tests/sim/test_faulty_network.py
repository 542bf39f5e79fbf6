"""Streams between two drivers over a network with faults arrive byte for byte (wire 3, 4; issue: seen 2)."""

from __future__ import annotations

import pytest

from framelane.shm.system_counters import SystemCounter
from framelane.transport.wrappers import FaultDirection
from support.raw_client import RawClient
from support.simulation import Host, Simulation
from support.streams import Messages
from support.transfer import transfer

UNICAST = "aeron:udp?endpoint=10.0.0.2:40123"
MULTICAST = "aeron:udp?endpoint=224.20.30.39:40456|interface=10.0.0.0/24"

MIB = 1024 * 1024


def two_hosts(sim: Simulation, **settings: str) -> tuple[Host, Host, RawClient, RawClient]:
    left = sim.add_host("10.0.0.1", **settings)
    right = sim.add_host("10.0.0.2", **settings)
    return left, right, left.add_client(), right.add_client()


def disturb(host: Host, loss: float) -> None:
    """Lose, duplicate and reorder what a host sends and what it receives."""
    faults = FaultDirection(loss=loss, duplicate=0.02, reorder=0.02)
    host.faults.configure(send=faults, receive=faults)


@pytest.mark.parametrize("channel", [UNICAST, MULTICAST], ids=["unicast", "multicast"])
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.1])
def test_a_stream_survives_loss_duplication_and_reordering(sim: Simulation, channel: str, loss: float) -> None:
    left, right, publisher, subscriber = two_hosts(sim)
    for host in (left, right):
        disturb(host, loss)
    reader = subscriber.add_subscription(channel)
    publication = publisher.add_publication(channel)
    transfer(sim, publisher, publication, [reader], Messages(sim.seed, 4 * MIB))

    sent, received = left.faults.totals()
    assert sent.duplicated and sent.reordered
    assert received.passed
    if loss:
        assert sent.lost
        assert left.count(SystemCounter.RETRANSMITS_SENT)
        assert right.count(SystemCounter.NAK_MESSAGES_SENT)
    assert not left.errors() and not right.errors()
