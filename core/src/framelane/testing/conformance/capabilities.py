"""What is declared is so, and what is not declared says so."""

from __future__ import annotations

import select

import pytest

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.testing.conformance.pair import RECEIVER, SENDER, BaseConformance, Family, Link, TransportPair, payloads
from framelane.testing.station import Run, Station
from framelane.transport.address import Address

__all__ = ["BaseCapabilities"]


class BaseCapabilities(BaseConformance):
    """The declared capabilities; what belongs to sending or to addresses is checked there."""

    def test_queues_are_as_many_as_declared(self, near: Station) -> None:
        queues = near.capabilities.queues
        assert near.transport.queues == queues, "the ops table and the capabilities agree"
        if queues == 1:
            with pytest.raises(NativeError):
                near.open_poller(1)
        else:
            near.close_poller(near.open_poller(1))
        with pytest.raises(NativeError) as raised:
            near.open_poller(0)
        assert raised.value.code == lib.FL_EBUSY, "a queue has one poller"

    def test_endpoints_of_different_pollers_do_not_see_each_other(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        if near.capabilities.queues == 1:
            return
        second = near.open_poller(1)
        on_first = near.open(bind=Address.of(family.near))
        on_second = near.open(bind=Address.of(family.near), on_poller=False)
        near.add(on_second, second)
        # A port's filters follow an endpoint to its queue in the control thread's next call of this.
        near.ops.events(near.transport.binding.transport, ffi.new("fl_event_t[]", 16), 16)
        far = transport_pair.far.open(role=SENDER, bind=Address.of(family.far))
        far.send_all([Run(b"first", peer=on_first.local), Run(b"second", peer=on_second.local)])
        arrived: list[bytes] = []
        while not arrived:
            near.cycle_all()
            runs = near.poll(poller=second)
            assert {run.context for run in runs} <= {on_second.context}
            arrived += [datagram.data for run in runs for datagram in run.datagrams()]
            near.release(runs, second)
        assert arrived == [b"second"]
        assert payloads(on_first.receive(1)) == [b"first"]
        near.remove(on_second, second)
        near.close_poller(second)

    def test_arm_gives_a_descriptor_that_wakes_if_declared(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        if not near.capabilities.can_arm:
            assert near.ops.arm(near.poller) == -lib.FL_ENOTSUP
            return
        endpoint = near.open(role=RECEIVER, bind=Address.of(family.near))
        far = transport_pair.far.open(role=SENDER, bind=Address.of(family.far), peer=endpoint.local)
        descriptors = set()
        for turn in range(5):
            near.settle()
            descriptor = near.ops.arm(near.poller)
            assert descriptor >= 0, "nothing is pending, so arm gives its descriptor"
            descriptors.add(descriptor)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(0) == [], "nothing came, so the descriptor is not readable"
            far.send_all([Run(bytes([turn]))])
            for companion in near.companions:
                companion.cycle()
            assert poll.poll(5000), "a datagram came, so the descriptor is readable"
            assert near.ops.disarm(near.poller) >= 0
            assert payloads(endpoint.receive(1)) == [bytes([turn])]
        assert len(descriptors) == 1, "the descriptor is the same every time"

    def test_arm_says_that_work_is_pending(self, transport_pair: TransportPair, near: Station, family: Family) -> None:
        if not near.capabilities.can_arm:
            return
        endpoint = near.open(role=RECEIVER, bind=Address.of(family.near))
        far = transport_pair.far.open(role=SENDER, bind=Address.of(family.far), peer=endpoint.local)
        near.settle()
        far.send_all([Run(b"pending")])
        descriptor = near.ops.arm(near.poller)
        if descriptor >= 0:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(5000), "arm gave a descriptor with a datagram waiting, so it must be readable"
            assert near.ops.disarm(near.poller) >= 0
        else:
            assert descriptor == -lib.FL_EAGAIN
        assert payloads(endpoint.receive(1)) == [b"pending"]

    def test_its_own_addresses_are_reached_if_it_loops_back(self, near: Station, family: Family) -> None:
        receiver = near.open(role=RECEIVER, bind=Address.of(family.near))
        sender = near.open(role=SENDER, bind=Address.of(family.near), peer=receiver.local)
        _, results = sender.send([Run(b"loop")])
        if near.capabilities.loops_back:
            assert results[0].status == 0
            assert payloads(receiver.receive(1)) == [b"loop"]
        else:
            assert receiver.receive(1, limit_s=0.2) == [], "loops_back is not declared but a datagram came back"

    def test_segmentation_is_declared_only_with_runs_of_several_datagrams(self, link: Link, near: Station) -> None:
        if near.capabilities.segmentation_offload:
            assert link.near.max_run_segments > 1

    def test_optional_entries_succeed_or_say_that_they_are_absent(self, near: Station) -> None:
        binding = near.transport.binding
        now = lib.fl_clock_nano(near.transport.host.clock)
        assert near.ops.housekeeping(binding.transport, now) in (0, -lib.FL_ENOTSUP)
        events = ffi.new("fl_event_t[]", 16)
        count = near.ops.events(binding.transport, events, 16)
        assert count == -lib.FL_ENOTSUP or 0 <= count <= 16
        names = list(near.transport.stats())
        assert list(near.transport.stats()) == names, "the same figures in the same order"
        assert all(names)
        figures = near.ops.stats(binding.transport, ffi.NULL, 0)
        assert figures in (-lib.FL_ENOTSUP, len(names)), "two figures of one name are one to whoever reads them"
