"""What is sent arrives: every size, every shape of run, in order, with the right addresses."""

from __future__ import annotations

import random

import pytest

from framelane.testing.conformance.pair import RECEIVER, SENDER, BaseConformance, Family, Link, TransportPair, connect
from framelane.testing.station import Run, Station
from framelane.transport.address import Address

__all__ = ["BaseDatagrams"]

#: Bytes under way at once in cases of many datagrams, so that default socket buffers hold them.
WINDOW = 32 * 1024


class BaseDatagrams(BaseConformance):
    """Contents, sizes, order and addresses."""

    @pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 33, 63, 64, 65, 255, 1344, 1408, 1472])
    def test_a_lone_datagram_arrives_unchanged(self, link: Link, rng: random.Random, size: int) -> None:
        data = rng.randbytes(size)
        link.send(Run(data))
        assert link.receive(1) == [data]

    def test_the_longest_datagram_arrives_and_a_longer_one_is_refused(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        longest = transport_pair.near.capabilities.max_datagram
        link = connect(transport_pair, family, mtu_length=longest)
        for size in (longest, longest - 1, longest // 2):
            data = rng.randbytes(size)
            link.send(Run(data))
            assert link.receive(1) == [data]
        result, runs = link.near.send([Run(bytes(longest + 1))])
        assert result == 0
        assert (runs[0].accepted, runs[0].status) == (0, -90), "a datagram above max_datagram gives -FL_EMSGSIZE"

    @pytest.mark.parametrize("tail", [0, 1, 31, 1343])
    @pytest.mark.parametrize("segments", [1, 2, 3, 17, 44])
    def test_a_run_is_cut_into_its_datagrams(self, link: Link, rng: random.Random, segments: int, tail: int) -> None:
        run = Run(rng.randbytes(segments * 1344 + tail), 1344)
        link.send(run)
        assert link.receive(segments + (tail > 0)) == run.datagrams()

    def test_short_segments_fill_a_run(self, link: Link, rng: random.Random) -> None:
        run = Run(rng.randbytes(64 * 32), 32)
        link.send(run)
        assert link.receive(64) == run.datagrams()

    def test_mixed_runs_in_one_send_arrive_in_order(self, link: Link, rng: random.Random) -> None:
        for _ in range(20):
            runs = [self._random_run(rng) for _ in range(8)]
            expected = [datagram for run in runs for datagram in run.datagrams()]
            link.send(*runs)
            assert link.receive(len(expected)) == expected

    def test_a_stream_arrives_in_order(self, link: Link) -> None:
        sent = 0
        while sent < 4000:
            burst = [(sent + i).to_bytes(4) * 32 for i in range(WINDOW // 128)]
            link.send(*(Run(b"".join(burst[i : i + 16]), 128) for i in range(0, len(burst), 16)))
            assert link.receive(len(burst)) == burst
            sent += len(burst)

    def test_random_bytes_of_random_sizes_arrive_unchanged(
        self, transport_pair: TransportPair, family: Family, rng: random.Random
    ) -> None:
        longest = min(transport_pair.near.capabilities.max_datagram, 9000)
        link = connect(transport_pair, family, mtu_length=longest)
        for _ in range(100):
            data = rng.randbytes(rng.randint(0, longest))
            link.send(Run(data))
            assert link.receive(1) == [data]

    def test_source_and_local_address_are_those_of_the_endpoints(
        self, transport_pair: TransportPair, family: Family
    ) -> None:
        link = connect(transport_pair, family)
        link.send(Run(b"address"))
        (datagram,) = link.far.receive(1)
        assert datagram.source == link.near.local
        assert datagram.local in (None, link.far.local)

    def test_a_reply_reaches_the_connected_sender(self, transport_pair: TransportPair, family: Family) -> None:
        link = connect(transport_pair, family)
        link.far.send_all([Run(b"status message", peer=link.near.local)])
        (datagram,) = link.near.receive(1)
        assert (datagram.data, datagram.source) == (b"status message", link.far.local)

    def test_datagrams_of_two_senders_keep_their_sources(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        far = transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far))
        senders = [near.open(role=SENDER, bind=Address.of(family.near), peer=far.local) for _ in range(3)]
        for i, sender in enumerate(senders):
            sender.send_all([Run(bytes([i]) * 100, 10)])
        arrived = far.receive(30)
        by_source = {sender.local: [d.data for d in arrived if d.source == sender.local] for sender in senders}
        assert by_source == {sender.local: [bytes([i]) * 10] * 10 for i, sender in enumerate(senders)}

    def _random_run(self, rng: random.Random) -> Run:
        segment_length = rng.randint(1, 1408)
        segments = rng.randint(1, max(1, min(16, 4096 // segment_length)))
        tail = rng.randint(0, segment_length - 1)
        return Run(rng.randbytes(segments * segment_length + tail), segment_length)
