"""What ``send`` reports: whole and partial acceptance, statuses per peer, limits of a run, memory."""

from __future__ import annotations

import random

from framelane._native import ffi, lib
from framelane.testing.conformance.pair import RECEIVER, SENDER, BaseConformance, Family, Link, TransportPair, payloads
from framelane.testing.station import Endpoint, Run, RunResult, Station, wait_for
from framelane.transport.address import Address

__all__ = ["BaseSending"]


class BaseSending(BaseConformance):
    """The results of ``send``."""

    def test_runs_taken_whole_are_counted_and_report_every_datagram(self, link: Link) -> None:
        result, runs = link.near.send([Run(bytes(300), 100), Run(bytes(250), 100), Run(b"")])
        assert (result, runs) == (3, [RunResult(3, 0), RunResult(3, 0), RunResult(1, 0)])
        assert [len(data) for data in link.receive(7)] == [100, 100, 100, 100, 100, 50, 0]

    def test_no_runs_are_none(self, link: Link) -> None:
        assert link.near.send([]) == (0, [])

    def test_what_follows_a_refused_run_to_the_same_peer_is_not_sent(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        first = transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far))
        second = transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far))
        sender = near.open(role=SENDER, bind=Address.of(family.near))
        too_long = bytes(near.capabilities.max_datagram + 1)
        result, runs = sender.send(
            [
                Run(b"1", peer=first.local),
                Run(too_long, peer=first.local),
                Run(b"2", peer=second.local),
                Run(b"3", peer=first.local),
                Run(b"4", peer=second.local),
            ]
        )
        refused = RunResult(0, -lib.FL_EMSGSIZE)
        assert (result, runs) == (3, [RunResult(1, 0), refused, RunResult(1, 0), refused, RunResult(1, 0)])
        assert payloads(first.receive(1)) == [b"1"]
        assert payloads(second.receive(2)) == [b"2", b"4"]
        sender.send_all([Run(b"5", peer=first.local)])
        assert payloads(first.receive(1)) == [b"5"], "a refused run leaves nothing behind"

    def test_a_sender_that_resumes_where_it_was_stopped_loses_and_repeats_nothing(
        self, transport_pair: TransportPair, near: Station, family: Family
    ) -> None:
        far = [transport_pair.far.open(role=RECEIVER, bind=Address.of(family.far)) for _ in range(2)]
        sender = near.open(role=SENDER, bind=Address.of(family.near))
        segments = min(20, sender.max_run_segments)
        for turn in range(30):
            pending = [
                Run(b"".join((turn * 100 + i).to_bytes(4) * 50 for i in range(segments)), 200, endpoint.local)
                for endpoint in far
                for _ in range(2)
            ]
            expected = [run.datagrams() for run in pending]
            self._send_resuming(near, sender, pending)
            for i, endpoint in enumerate(far):
                sent = expected[2 * i] + expected[2 * i + 1]
                assert payloads(endpoint.receive(len(sent))) == sent

    def test_limits_of_a_run_are_stated_and_hold(self, link: Link) -> None:
        endpoint = link.near
        assert endpoint.max_run_segments >= 1
        assert endpoint.max_run_length >= 1408
        segments = min(endpoint.max_run_segments, endpoint.max_run_length // 64, 512)
        run = Run(bytes(range(64)) * segments, 64)
        result, runs = endpoint.send([run])
        assert (result, runs[0].status) == (1, 0), "the longest run that was promised is taken"
        assert link.receive(segments) == run.datagrams()

    def test_memory_of_a_sent_run_is_the_callers_again(self, link: Link, near: Station, rng: random.Random) -> None:
        memory = ffi.new("uint8_t[]", 1000)
        expected = []
        for _ in range(50):
            data = rng.randbytes(1000)
            ffi.buffer(memory)[:] = data
            run = ffi.new("fl_run_t *")
            run.data, run.length, run.segment_length = memory, 1000, 100
            wait_for(lambda run=run: self._sent(near, link.near, run), "a run to be taken")  # type: ignore[misc]
            ffi.buffer(memory)[:] = b"\xee" * 1000
            expected += Run(data, 100).datagrams()
        assert link.receive(len(expected)) == expected

    def test_a_held_run_comes_back_or_is_complete_on_return(self, link: Link, near: Station) -> None:
        binding = near.transport.binding
        memory = ffi.new("uint8_t[]", 4096)
        region = ffi.new("uint64_t *")
        status = near.ops.register_memory(binding.transport, memory, 4096, region)
        assert (status == 0) is near.capabilities.zero_copy_tx, "register_memory works if zero_copy_tx is declared"
        ffi.buffer(memory)[:4] = b"held"
        run = ffi.new("fl_run_t *")
        run.data, run.length, run.segment_length, run.flags, run.token = memory, 4, 4, lib.FL_RUN_HOLD, 77
        wait_for(lambda: self._sent(near, link.near, run), "a held run to be taken")
        if not near.capabilities.zero_copy_tx:
            assert status == -lib.FL_ENOTSUP
            assert near.reap() == [], "a transport without zero_copy_tx completes the run on return"
        else:
            completions: list[tuple[int, int]] = []

            def reap() -> bool:
                completions.extend(near.reap())
                return bool(completions)

            wait_for(reap, "the completion")
            assert completions == [(77, 0)]
            assert near.ops.unregister_memory(binding.transport, region[0]) == 0
        assert link.receive(1) == [b"held"]

    def test_a_run_without_a_peer_on_an_endpoint_without_one_is_refused(self, near: Station, family: Family) -> None:
        endpoint = near.open(role=SENDER, bind=Address.of(family.near))
        result, runs = endpoint.send([Run(b"nowhere")])
        assert result == 0
        assert runs[0].accepted == 0
        assert runs[0].status < 0

    def _sent(self, near: Station, endpoint: Endpoint, run: object) -> bool:
        near.cycle_all()
        return bool(near.ops.send(endpoint.native, run, 1) == 1)

    def _send_resuming(self, near: Station, sender: Endpoint, pending: list[Run]) -> None:
        def send() -> bool:
            _, results = sender.send(pending)
            stopped: set[Address | None] = set()
            rest = []
            for run, result in zip(pending, results, strict=True):
                assert result.status in (0, -lib.FL_EAGAIN)
                left = run.datagrams()[result.accepted :]
                assert bool(left) is (result.status != 0), "the status is 0 exactly if the run was taken whole"
                assert result.accepted == 0 or run.peer not in stopped, "a run passed one that was stopped"
                if left:
                    stopped.add(run.peer)
                    rest.append(Run(b"".join(left), run.segment_length, run.peer))
            pending[:] = rest
            near.cycle_all()
            return not pending

        wait_for(send, "all runs to be taken")
