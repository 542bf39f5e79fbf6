"""What ``poll`` gives and ``release`` takes back."""

from __future__ import annotations

import random

import pytest

from framelane._native import lib
from framelane.testing.conformance.pair import RECEIVER, SENDER, BaseConformance, Family, TransportPair
from framelane.testing.station import Endpoint, FarEndpoint, ReceivedRun, Run, Station, wait_for
from framelane.transport.address import Address

__all__ = ["BaseReceiving"]


#: A device's clock is compared with the system's now and then, and runs on alone between.
_HARDWARE_SLACK_NS = 1_000_000


class BaseReceiving(BaseConformance):
    """The near end receives here, because what is looked at is its ``poll``."""

    def _open(self, pair: TransportPair, family: Family, flags: int = 0) -> tuple[Endpoint, FarEndpoint]:
        near = pair.near.open(role=RECEIVER, bind=Address.of(family.near), flags=flags, receive_buffer_length=1 << 20)
        far = pair.far.open(role=SENDER, bind=Address.of(family.far), peer=near.local)
        return near, far

    def _poll(self, near: Station, capacity: int, limit_s: float = 10.0) -> list[ReceivedRun]:
        """Poll until something comes."""
        found: list[ReceivedRun] = []

        def poll() -> bool:
            for companion in near.companions:
                companion.cycle()
            near.reap()
            found.extend(near.poll(capacity))
            return bool(found)

        wait_for(poll, "something to arrive", limit_s)
        return found

    def test_nothing_is_polled_when_nothing_was_sent(self, transport_pair: TransportPair, family: Family) -> None:
        near, _ = self._open(transport_pair, family)
        assert [near.station.poll() for _ in range(10)] == [[]] * 10

    def test_runs_carry_the_context_of_their_endpoint(self, transport_pair: TransportPair, family: Family) -> None:
        pairs = [self._open(transport_pair, family) for _ in range(4)]
        for i, (_, far) in enumerate(pairs):
            far.send_all([Run(bytes([i]) * 8)])
        for i, (near, _) in enumerate(pairs):
            assert [datagram.data for datagram in near.receive(1)] == [bytes([i]) * 8]

    def test_a_small_capacity_is_kept_and_loses_nothing(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        near, far = self._open(transport_pair, family)
        sent = [rng.randbytes(rng.randint(1, 500)) for _ in range(40)]
        far.send_all([Run(data) for data in sent])
        arrived: list[bytes] = []
        while len(arrived) < len(sent):
            runs = self._poll(near.station, rng.randint(1, 3))
            arrived += [datagram.data for run in runs for datagram in run.datagrams()]
            near.station.release(runs)
        assert arrived == sent

    def test_received_memory_is_unchanged_until_released_in_any_order(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        near, far = self._open(transport_pair, family)
        for _ in range(10):
            far.send_all([Run(rng.randbytes(200)) for _ in range(20)])
            runs = self._poll(near.station, 64)
            far.send_all([Run(rng.randbytes(1400)) for _ in range(10)])
            rng.shuffle(runs)
            while runs:
                assert all(run.memory() == run.data for run in runs), "held memory changed"
                cut = rng.randint(1, len(runs))
                near.station.release(runs[:cut])
                runs = runs[cut:]
        near.station.settle()

    def test_buffers_come_back_however_often_they_are_used(self, transport_pair: TransportPair, family: Family) -> None:
        near, far = self._open(transport_pair, family)
        for turn in range(400):
            sent = [turn.to_bytes(2) * 512] * 8
            far.send_all([Run(b"".join(sent), 1024)])
            assert [datagram.data for datagram in near.receive(8)] == sent

    def test_runs_stay_valid_after_their_endpoint_left_the_poller(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        near, far = self._open(transport_pair, family)
        other, _ = self._open(transport_pair, family)
        data = rng.randbytes(1000)
        far.send_all([Run(data)])
        runs = self._poll(near.station, 64)
        near.station.remove(near)
        assert [run.memory() for run in runs] == [data]
        near.station.release(runs)
        near.close()
        assert other.receive(1, limit_s=0.02) == []

    def test_nothing_comes_for_an_endpoint_that_left_the_poller(
        self, transport_pair: TransportPair, family: Family
    ) -> None:
        near, far = self._open(transport_pair, family)
        station = near.station
        far.send_all([Run(b"before")])
        assert [d.data for d in near.receive(1)] == [b"before"]
        station.remove(near)
        far.send_all([Run(b"between")])
        station.settle()
        assert not near.inbox
        station.add(near)
        far.send_all([Run(b"after")])

        def last_arrived() -> bool:
            station.cycle_all()
            return bool(near.inbox) and near.inbox[-1].data == b"after"

        wait_for(last_arrived, "the last one")

    def test_a_busy_endpoint_starves_none(self, transport_pair: TransportPair, family: Family) -> None:
        busy, busy_far = self._open(transport_pair, family)
        quiet, quiet_far = self._open(transport_pair, family)
        busy_far.send_all([Run(bytes(64)) for _ in range(20)])
        quiet_far.send_all([Run(b"quiet")])
        for _ in range(100):
            busy_far.send_all([Run(bytes(64)) for _ in range(4)])
            runs = self._poll(busy.station, 4)
            busy.station.release(runs)
            if any(run.context == quiet.context for run in runs):
                return
        pytest.fail("of 100 polls none gave the waiting datagram, while another endpoint always had some")

    def test_timestamps_lie_between_sending_and_polling_and_never_go_back(
        self, transport_pair: TransportPair, family: Family
    ) -> None:
        near, far = self._open(transport_pair, family, flags=lib.FL_ENDPOINT_TIMESTAMPS)
        clock = near.station.transport.host.clock
        is_software = near.receive_clock == lib.FL_CLOCK_SOFTWARE
        slack_ns = 0 if is_software else _HARDWARE_SLACK_NS
        last_ns = 0
        for _ in range(20):
            before_ns = lib.fl_clock_epoch(clock)
            far.send_all([Run(b"when")])
            (run,) = self._poll(near.station, 8)
            after_ns = lib.fl_clock_epoch(clock)
            near.station.release([run])
            if run.flags & lib.FL_RUN_TIMESTAMP:
                assert before_ns - slack_ns <= run.timestamp_ns <= after_ns + slack_ns, "nanoseconds since 1970"
                assert run.timestamp_ns >= last_ns
                last_ns = run.timestamp_ns
            else:
                assert not is_software, "receive_clock promises that the transport's software stamps every run"

    def test_datagrams_sent_together_have_timestamps_in_their_order(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        near, far = self._open(transport_pair, family, flags=lib.FL_ENDPOINT_TIMESTAMPS)
        data = rng.randbytes(8 * 512)
        far.send_all([Run(data, segment_length=512)])
        received = b""
        while len(received) < len(data):
            runs = self._poll(near.station, 8)
            received += b"".join(run.data for run in runs)
            stamps = [run.timestamp_ns for run in runs if run.flags & lib.FL_RUN_TIMESTAMP]
            near.station.release(runs)
            assert stamps == sorted(stamps)
        assert received == data

    def test_unconnected_garbage_is_delivered_like_any_datagram(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        near, far = self._open(transport_pair, family)
        for _ in range(50):
            data = rng.randbytes(rng.randint(0, 1408))
            far.send_all([Run(data)])
            assert [datagram.data for datagram in near.receive(1)] == [data]
