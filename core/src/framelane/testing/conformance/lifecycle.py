"""Opening and closing: nothing leaks, nothing crashes, a forked child touches nothing."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path

import pytest

from framelane._native import lib
from framelane.errors import NativeError
from framelane.testing.conformance.pair import RECEIVER, SENDER, BaseConformance, Family, Link, TransportPair
from framelane.testing.station import Run, Station
from framelane.transport.address import Address

__all__ = ["BaseLifecycle"]

#: Growth that is no leak: allocators keep some of what was freed.
MEMORY_SLACK = 4 << 20


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _memory() -> int:
    """Return the resident memory of this process, bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class BaseLifecycle(BaseConformance):
    """Cycles of opening and closing."""

    def test_a_thousand_endpoints_leave_nothing_behind(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        far = transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far))

        def use_one() -> None:
            endpoint = near.open(role=SENDER, bind=Address.of(family.near), peer=far.local)
            endpoint.send([Run(b"x" * 100, 10)])
            near.cycle()
            endpoint.close()

        for _ in range(100):
            use_one()
        far.receive(1000, limit_s=0.1)
        descriptors, memory = _descriptors(), _memory()
        for turn in range(1000):
            use_one()
            if turn % 50 == 0:
                far.receive(10_000, limit_s=0.001)
        far.receive(10_000, limit_s=0.05)
        assert _descriptors() == descriptors
        assert _memory() - memory < MEMORY_SLACK, "memory grew over 1000 endpoints"

    def test_twenty_devices_leave_nothing_behind(self, transport_pair: TransportPair, family: Family) -> None:
        transport_pair.near.close()

        def use_one() -> None:
            with Station(transport_pair.reopen()) as station:
                endpoint = station.open(bind=Address.of(family.near))
                station.cycle()
                endpoint.close()

        for _ in range(5):
            use_one()
        descriptors, memory = _descriptors(), _memory()
        for _ in range(20):
            use_one()
        assert _descriptors() == descriptors
        assert _memory() - memory < MEMORY_SLACK, "memory grew over 20 devices"

    def test_an_endpoint_closes_with_traffic_in_flight(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        stays = near.open(role=RECEIVER, bind=Address.of(family.near))
        for _ in range(20):
            receiver = near.open(role=RECEIVER, bind=Address.of(family.near))
            far = transport_pair.far.open(role=SENDER, bind=Address.of(family.far))
            far.send_all([Run(bytes(1000), 100, receiver.local), Run(b"stays", peer=stays.local)])
            closed = receiver.local
            receiver.close()
            far.send_all([Run(bytes(1000), 100, closed)])
            assert stays.receive(1)[0].data == b"stays"
            far.close()

    def test_an_endpoint_on_a_poller_is_not_closed(self, near: Station, family: Family) -> None:
        endpoint = near.open(bind=Address.of(family.near))
        assert near.ops.close_endpoint(endpoint.native) == -lib.FL_EBUSY
        assert endpoint.local.port != 0, "it is still open"

    def test_a_failed_open_leaves_nothing_behind(self, near: Station, family: Family) -> None:
        taken = near.open(bind=Address.of(family.near)).local
        descriptors = _descriptors()
        for _ in range(200):
            with pytest.raises(NativeError):
                near.open(bind=taken)
        assert _descriptors() == descriptors

    def test_a_forked_child_leaves_the_parents_endpoints_alone(self, link: Link, near: Station) -> None:
        link.send(Run(b"before"))
        assert link.receive(1) == [b"before"]
        child = os.fork()
        if child == 0:
            # What the child's copies do when they are finalised or closed must not reach the device.
            try:
                near.transport.close()
                near.transport.host.close()
                gc.collect()
            finally:
                os._exit(0 if near.transport.is_closed else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        link.send(Run(b"after"))
        assert link.receive(1) == [b"after"]
