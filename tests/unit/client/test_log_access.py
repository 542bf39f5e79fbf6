"""Offering to a log and polling it, in the data plane; the test acts as the driver: it moves the limit and cleans."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framelane._native import ffi, lib
from framelane.shm.log_buffer import LogBuffer, LogParams, LogType, framed_length

TERM_LENGTH = 65536
MTU_LENGTH = 1408
INITIAL_TERM_ID = 2**31 - 2
DATA, PAD = 1, 0


class Stand:
    """One log with a publication and an image over it."""

    def __init__(self, path: Path, *, exclusive: bool = False, term_count: int = 0, term_offset: int = 0) -> None:
        starting = (INITIAL_TERM_ID + term_count + 2**31) % 2**32 - 2**31
        params = LogParams(
            LogType.EXCLUSIVE if exclusive else LogType.CONCURRENT,
            correlation_id=5,
            session_id=77,
            stream_id=1001,
            initial_term_id=INITIAL_TERM_ID,
            term_length=TERM_LENGTH,
            mtu_length=MTU_LENGTH,
            starting_term_id=starting,
            starting_term_offset=term_offset,
        )
        self.log = LogBuffer.create(path, params)
        start = term_count * TERM_LENGTH + term_offset
        self.limit = ffi.new("int64_t *", start + TERM_LENGTH // 2)
        self.position = ffi.new("int64_t *", start)
        self.clean = start
        self.publication = lib.fl_client_publication_new(self.log.native, self.limit, exclusive)
        self.image = lib.fl_client_image_new(self.log.native, self.position, 5)
        self.subscription = lib.fl_client_subscription_new()
        assert lib.fl_client_subscription_add_image(self.subscription, self.image) == 0
        self.fragments = ffi.new("fl_fragment_t[]", 64)

    def close(self) -> None:
        lib.fl_client_subscription_free(self.subscription)
        lib.fl_client_image_free(self.image)
        lib.fl_client_publication_free(self.publication)
        self.log.close()

    def drive(self) -> None:
        """Move the limit and clean, as the driver of an IPC publication does (shm 9.6)."""
        while self.clean < self.position[0]:
            self.clean = lib.fl_log_clean(self.log.native, self.clean, self.position[0], TERM_LENGTH)
        self.limit[0] = self.position[0] + TERM_LENGTH // 2

    def offer(self, message: bytes, reserved_value: int = 0) -> int:
        return int(lib.fl_client_publication_offer(self.publication, message, len(message), reserved_value))

    def poll(self, limit: int = 64, *, assemble: bool = True) -> list[bytes]:
        count = lib.fl_client_subscription_poll(self.subscription, self.fragments, limit, assemble)
        assert count >= 0
        return [bytes(ffi.buffer(f.data, f.length)) for f in self.fragments[0:count]]

    def release(self, count: int) -> None:
        lib.fl_client_subscription_release(self.subscription, count)

    def frame(self, position: int) -> tuple[int, int, int, int]:
        """Return length, flags, type and term offset of the frame at a position."""
        term = self.log.term(position // TERM_LENGTH % 3)
        at = position % TERM_LENGTH
        length, offset = (int.from_bytes(term[at + i : at + i + 4], "little", signed=True) for i in (0, 8))
        return length, term[at + 5], int.from_bytes(term[at + 6 : at + 8], "little"), offset


@pytest.fixture
def make_stand(tmp_path: Path) -> Any:
    stands: list[Stand] = []

    def make(**arguments: Any) -> Stand:
        stands.append(Stand(tmp_path / f"{len(stands)}.logbuffer", **arguments))
        return stands[-1]

    yield make
    for stand in stands:
        stand.close()


Maker = Callable[..., Stand]


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_message_becomes_the_frames_of_the_specification(make_stand: Maker, exclusive: bool) -> None:
    stand = make_stand(exclusive=exclusive)
    message = bytes(range(256)) * 12
    assert stand.offer(message, reserved_value=-9) == framed_length(len(message), MTU_LENGTH - 32)
    frames = b""
    at = 0
    for part, flags in ((message[:1376], 0x80), (message[1376:2752], 0x00), (message[2752:], 0x40)):
        frame = (32 + len(part)).to_bytes(4, "little") + bytes([0, flags]) + DATA.to_bytes(2, "little")
        frame += at.to_bytes(4, "little") + (77).to_bytes(4, "little") + (1001).to_bytes(4, "little")
        frame += INITIAL_TERM_ID.to_bytes(4, "little") + (-9).to_bytes(8, "little", signed=True) + part
        frame += bytes(-len(frame) % 32)
        frames += frame
        at += len(frame)
    assert bytes(stand.log.term(0)[:at]) == frames
    assert stand.poll() == [message]
    fragment = stand.fragments[0]
    assert (fragment.position, fragment.flags, fragment.reserved_value) == (at, 0xC0, -9)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_stream_of_all_sizes_arrives_whole_over_many_terms(make_stand: Maker, exclusive: bool) -> None:
    stand = make_stand(exclusive=exclusive, term_count=1, term_offset=4096)
    rng = random.Random(11)
    sizes = [0, 1, 1376, 1377, 8192, *(rng.choice((rng.randrange(100), rng.randrange(8193))) for _ in range(400))]
    sent = [rng.randbytes(size) for size in sizes]
    received: list[bytes] = []
    pending = list(sent)
    for _ in range(20_000):
        if len(received) == len(sent):
            break
        while pending and (stand.offer(pending[0]) > 0 or stand.offer(pending[0]) > 0):
            pending.pop(0)
        messages = stand.poll(rng.randrange(1, 9))
        keep = rng.randrange(len(messages) + 1)
        stand.release(keep)
        received += messages[:keep]
        stand.drive()
    assert received == sent
    assert stand.position[0] == lib.fl_client_publication_position(stand.publication) > 8 * TERM_LENGTH


def test_what_is_not_released_comes_again_even_half_assembled(make_stand: Maker) -> None:
    stand = make_stand()
    long = bytes(range(200)) * 30
    stand.offer(b"first")
    claim = ffi.new("fl_claim_t *")
    assert stand.poll() == [b"first"]
    # The last frame of a message of several is written later: its first ones are polled before.
    for flags, part in ((0x80, long[:1376]), (0x00, long[1376:2752])):
        assert lib.fl_client_publication_try_claim(stand.publication, len(part), claim) > 0
        ffi.memmove(claim.payload, part, len(part))
        lib.fl_claim_set_flags(claim, flags)
        lib.fl_claim_commit(claim)
    assert stand.poll() == []
    consumed = stand.position[0]
    assert consumed == 64 + 2 * 1408
    rest = long[2752:4128]
    lib.fl_client_publication_try_claim(stand.publication, len(rest), claim)
    ffi.memmove(claim.payload, rest, len(rest))
    lib.fl_claim_set_flags(claim, 0x40)
    lib.fl_claim_commit(claim)
    for _ in range(3):
        assert stand.poll() == [long[:4128]]
        stand.release(0)
        assert stand.position[0] == consumed
    assert stand.poll() == [long[:4128]]
    stand.release(1)
    assert stand.position[0] == consumed + 1408


def test_an_aborted_claim_is_skipped(make_stand: Maker) -> None:
    stand = make_stand()
    claim = ffi.new("fl_claim_t *")
    assert lib.fl_client_publication_try_claim(stand.publication, 100, claim) == 160
    assert stand.frame(0) == (-132, 0xC0, DATA, 0)
    stand.offer(b"behind")
    assert stand.poll() == []
    lib.fl_claim_abort(claim)
    assert stand.frame(0) == (132, 0xC0, PAD, 0)
    assert stand.poll() == [b"behind"]


def test_a_log_that_somebody_scribbled_over_does_not_hang_a_batch(make_stand: Maker) -> None:
    stand = make_stand()
    stand.log.metadata.term_tail_counters[0] = 12345 << 32
    accepted = ffi.new("uint32_t *")
    result = lib.fl_client_publication_offer_batch(stand.publication, b"x" * 8, ffi.new("uint32_t[]", [8]), 1, accepted)
    assert (result, accepted[0]) == (lib.FL_ADMIN_ACTION, 0)
    assert lib.fl_client_publication_position(stand.publication) == lib.FL_OFFER_ERROR


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_end_of_the_last_term_is_padded_once(make_stand: Maker, exclusive: bool) -> None:
    stand = make_stand(exclusive=exclusive, term_count=2**31 - 1, term_offset=TERM_LENGTH - 96)
    begin = (2**31 - 1) * TERM_LENGTH + TERM_LENGTH - 96
    assert stand.offer(bytes(100)) == lib.FL_MAX_POSITION_EXCEEDED
    assert stand.frame(begin) == (96, 0xC0, PAD, TERM_LENGTH - 96)
    # A reader may be on the padding now: nobody writes it again.
    stand.log.term(begin // TERM_LENGTH % 3)[TERM_LENGTH - 96 + 24] = 0xAB
    assert stand.offer(bytes(100)) == lib.FL_MAX_POSITION_EXCEEDED
    assert stand.log.term(begin // TERM_LENGTH % 3)[TERM_LENGTH - 96 + 24] == 0xAB
    assert lib.fl_client_publication_position(stand.publication) == 2**31 * TERM_LENGTH


def test_a_closed_image_does_not_look_at_the_log_any_more(make_stand: Maker) -> None:
    stand = make_stand()
    stand.offer(b"one")
    assert stand.poll() == [b"one"]
    stand.release(1)
    stand.log.metadata.end_of_stream_position = 64
    lib.fl_client_subscription_remove_image(stand.subscription, stand.image)
    lib.fl_client_image_close(stand.image)
    stand.log.metadata.end_of_stream_position = 0
    stand.log.metadata.is_publication_revoked = 1
    stand.log.metadata.active_transport_count = 3
    stand.position[0] = 0
    assert lib.fl_client_image_position(stand.image) == 64
    assert lib.fl_client_image_is_end_of_stream(stand.image)
    assert not lib.fl_client_image_is_revoked(stand.image)
    assert lib.fl_client_image_active_transport_count(stand.image) == 0


def test_offers_say_why_they_do_not_succeed(make_stand: Maker) -> None:
    stand = make_stand()
    stand.limit[0] = 0
    assert stand.offer(b"x") == lib.FL_NOT_CONNECTED
    stand.log.metadata.is_connected = 1
    assert stand.offer(b"x") == lib.FL_BACK_PRESSURED
    assert stand.offer(bytes(TERM_LENGTH // 8 + 1)) == lib.FL_OFFER_ERROR
    assert b"8193 bytes is longer than 8192" in ffi.string(lib.fl_error_text())
    lib.fl_client_publication_close(stand.publication)
    assert stand.offer(b"x") == lib.FL_CLOSED


def test_frames_that_leave_their_term_are_not_read(make_stand: Maker) -> None:
    stand = make_stand()
    stand.offer(b"x" * 32)
    term = stand.log.term(0)
    term[0:4] = (TERM_LENGTH + 1).to_bytes(4, "little")
    assert stand.poll() == []
    term[0:4] = (2**31 - 1).to_bytes(4, "little")
    assert stand.poll() == []
    assert stand.position[0] == 0
