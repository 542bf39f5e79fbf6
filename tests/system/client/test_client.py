"""The client against a driver in another process."""

import array
import asyncio
import gc
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from framelane.client import (
    Action,
    BufferClaim,
    Client,
    ClientClosed,
    ClientTimeout,
    DriverTimeout,
    FragmentAssembler,
    OfferError,
    OfferTimeout,
    Publication,
    RegistrationError,
    aio,
)
from framelane.client.image import Image

IPC = "aeron:ipc?term-length=64k"
STREAM = 1001

Wait = Callable[..., None]


def take(subscription: Any, count: int, wait: Wait, **arguments: Any) -> list[bytes]:
    """Poll until so many messages came."""
    messages: list[bytes] = []

    def poll() -> bool:
        messages.extend(bytes(data) for data in subscription.poll_batch(**arguments))
        return len(messages) >= count

    wait(poll)
    return messages


@pytest.mark.parametrize("exclusive", [False, True])
def test_messages_of_all_sizes_arrive_in_order(driver: Any, wait: Wait, channel: str, exclusive: bool) -> None:
    rng = random.Random(5)
    sent = [rng.randbytes(rng.choice((0, 1, 100, 1376, 1377, 8192))) for _ in range(500)]
    with Client(driver.directory) as client:
        subscription = client.add_subscription(channel, STREAM)
        add = client.add_exclusive_publication if exclusive else client.add_publication
        publication = add(channel, STREAM)
        thread = threading.Thread(target=lambda: [publication.offer_blocking(message, 20) for message in sent])
        thread.start()
        received = take(subscription, len(sent), wait)
        thread.join()
        subscription.poll_batch()
        assert hashlib.sha256(b"|".join(received)).digest() == hashlib.sha256(b"|".join(sent)).digest()
        assert subscription.images[0].position == publication.position


def test_offers_tell_why_they_do_not_succeed(driver: Any, wait: Wait) -> None:
    with Client(driver.directory) as client:
        publication = client.add_publication(IPC, STREAM)
        assert publication.offer(b"x") == Publication.NOT_CONNECTED
        with pytest.raises(OfferTimeout, match="nobody is subscribed"):
            publication.offer_blocking(b"x", 0.01)
        with pytest.raises(OfferError, match="8193 bytes is longer than 8192"):
            publication.offer(bytes(8193))
        client.add_subscription(IPC, STREAM)
        publication.offer_blocking(b"x", 10)
        wait(lambda: publication.offer(bytes(1000)) == Publication.BACK_PRESSURED)
        publication.close()
        assert publication.offer(b"x") == Publication.CLOSED
        with pytest.raises(OfferError, match="closed"):
            publication.offer_blocking(b"x", 1)


def test_parts_claims_batches_and_reserved_values(driver: Any, wait: Wait) -> None:
    with Client(driver.directory) as client:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_exclusive_publication(IPC, STREAM)
        publication.offer_blocking(b"first", 10, reserved_value=-7)
        assert publication.offer_parts([b"a" * 2000, b"", bytearray(b"b" * 1000)], reserved_value=9) > 0
        claim = BufferClaim()
        assert publication.try_claim(5, claim) > 0
        with claim:
            claim.data[:] = b"claim"
            claim.set_reserved_value(3)
        assert publication.try_claim(5, claim) > 0
        claim.abort()
        assert publication.offer_batch([b"one", b"two"])[0] == 2
        accepted, position = publication.offer_batch(b"threefour", array.array("I", [5, 4]))
        assert (accepted, position) == (2, publication.position)
        got: list[tuple[bytes, int]] = []
        wait(
            lambda: (
                subscription.poll(lambda d, h: got.append((bytes(d), h.reserved_value)), 2, assemble=True) == 0
                and len(got) == 7
            )
        )
        assert got == [
            (b"first", -7),
            (b"a" * 2000 + b"b" * 1000, 9),
            (b"claim", 3),
            (b"one", 0),
            (b"two", 0),
            (b"three", 0),
            (b"four", 0),
        ]  # fmt: skip


def test_a_batch_is_views_of_the_log(driver: Any, wait: Wait) -> None:
    def poll_two(client: Client) -> memoryview:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_publication(IPC, STREAM)
        for message in (b"abc", b"defgh"):
            publication.offer_blocking(message, 10)
        wait(lambda: subscription.is_connected)
        batch = subscription.poll_batch()
        assert [bytes(view) for view in batch] == [b"abc", b"defgh"]
        assert batch[1].readonly and batch[-1] == b"defgh"
        assert batch.lengths.tolist() == [3, 5]
        assert batch.positions.tolist() == [64, 128]
        assert batch.header(1).term_offset == 64
        batch.release(1)
        assert subscription.images[0].position == 64
        kept = subscription.poll_batch()[0]
        with pytest.raises(ValueError, match="the batch is over"):
            batch[0]
        return kept

    with Client(driver.directory) as client:
        kept = poll_two(client)
    # The view alone keeps the log mapped, after everything was closed and unlinked.
    del client
    gc.collect()
    assert bytes(kept) == b"defgh"


def test_handlers_control_the_poll(driver: Any, wait: Wait) -> None:
    with Client(driver.directory) as client:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_publication(IPC, STREAM)
        for i in range(4):
            publication.offer_blocking(bytes([i]), 10)
        wait(lambda: subscription.is_connected)
        image = subscription.images[0]
        assert subscription.controlled_poll(lambda d, h: Action.ABORT, 10) == 0
        assert image.position == 0
        assert subscription.controlled_poll(lambda d, h: Action.BREAK, 10) == 1
        assert image.position == 64
        seen: list[int] = []

        def commit(data: memoryview, header: Any) -> Action:
            seen.append(image.position)
            return Action.COMMIT if data[0] == 1 else Action.ABORT

        assert subscription.controlled_poll(commit, 10) == 1
        assert seen == [64, 128]

        def fail(data: memoryview, header: Any) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            subscription.poll(fail, 10)
        assert image.position == 192


def test_an_assembler_makes_messages_of_fragments(driver: Any, wait: Wait, udp: str) -> None:
    with Client(driver.directory) as client:
        subscription = client.add_subscription(udp, STREAM)
        publications = [client.add_exclusive_publication(udp, STREAM) for _ in range(2)]
        messages = {p.session_id: bytes([i + 1]) * 5000 for i, p in enumerate(publications)}
        for publication in publications:
            publication.offer_blocking(messages[publication.session_id], 10, reserved_value=publication.session_id)
        got: dict[int, tuple[bytes, int]] = {}
        assembler = FragmentAssembler(lambda d, h: got.__setitem__(h.session_id, (bytes(d), h.reserved_value)))
        wait(lambda: subscription.poll(assembler, 1) == 0 and len(got) == 2)
        assert got == {session: (message, session) for session, message in messages.items()}


def test_images_come_and_go_with_their_publications(driver: Any, wait: Wait) -> None:
    told: list[tuple[str, int]] = []
    with Client(driver.directory) as client, Client(driver.directory) as other:
        subscription = client.add_subscription(
            IPC,
            STREAM,
            on_available_image=lambda image: told.append(("available", image.session_id)),
            on_unavailable_image=lambda image: told.append(("unavailable", image.session_id)),
        )
        publication = other.add_exclusive_publication(IPC + "|session-id=99", STREAM)
        publication.offer_blocking(b"last words", 10)
        wait(lambda: subscription.images)
        image: Image = subscription.images[0]
        publication.close()
        assert take(subscription, 1, wait) == [b"last words"]
        wait(lambda: subscription.poll_batch() is None or not subscription.images)
        assert told == [("available", 99), ("unavailable", 99)]
        assert image.is_closed and image.is_end_of_stream and image.position == 64


def test_a_revoked_publication_ends_its_images(driver: Any, wait: Wait) -> None:
    with Client(driver.directory) as client:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_exclusive_publication(IPC, STREAM)
        publication.offer_blocking(b"never read", 10)
        wait(lambda: subscription.images)
        image = subscription.images[0]
        publication.revoke()
        wait(lambda: image.is_closed)
        assert image.is_publication_revoked


def test_publications_of_one_channel_are_shared_between_clients(driver: Any) -> None:
    with Client(driver.directory) as client, Client(driver.directory) as other:
        first = client.add_publication(IPC, STREAM)
        second = other.add_publication(IPC, STREAM)
        assert first.session_id == second.session_id
        assert second.original_registration_id == first.registration_id != second.registration_id


def test_counters_are_seen_by_other_clients_until_they_are_closed(driver: Any, wait: Wait) -> None:
    told: list[tuple[str, int]] = []
    with (
        Client(driver.directory) as client,
        Client(
            driver.directory,
            on_available_counter=lambda registration, counter: told.append(("available", registration)),
            on_unavailable_counter=lambda registration, counter: told.append(("unavailable", registration)),
        ) as other,
    ):
        counter = client.add_counter(1234, "a label", b"key")
        counter.value = 17
        wait(lambda: ("available", counter.registration_id) in told)
        seen = other.counters.get(counter.counter_id)
        assert seen is not None
        assert (seen.type_id, seen.label, seen.key[:3], seen.value) == (1234, "a label", b"key", 17)
        counter.close()
        wait(lambda: ("unavailable", counter.registration_id) in told)
        with pytest.raises(ValueError, match="closed"):
            counter.value = 18


def test_a_static_counter_outlives_its_client(driver: Any) -> None:
    with Client(driver.directory) as client:
        client.add_static_counter(1234, "static", registration_id=77).value = 5
    with Client(driver.directory) as client:
        counter = client.add_static_counter(1234, "ignored", registration_id=77)
        assert (counter.value, counter.label) == (5, "static")


def test_refused_commands_raise_the_drivers_answer(driver: Any) -> None:
    with Client(driver.directory) as client:
        with pytest.raises(RegistrationError) as caught:
            client.add_publication("aeron:udp?nonsense", STREAM)
        assert caught.value.code == 1
        with pytest.raises(RegistrationError, match="term"):
            client.add_publication("aeron:ipc?term-length=1", STREAM)
        assert client.next_session_id(STREAM) != client.next_session_id(STREAM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_driver_closes_the_client(driver: Any, wait: Wait, number: signal.Signals) -> None:
    causes: list[BaseException | None] = []
    gone: list[Image] = []
    with Client(
        driver.directory,
        driver_timeout=2,
        keepalive_interval=0.05,
        on_close=causes.append,
        on_unavailable_image=gone.append,
    ) as client:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_publication(IPC, STREAM)
        publication.offer_blocking(b"x", 10)
        wait(lambda: subscription.images)
        driver.stop(number)
        wait(lambda: causes)
        assert isinstance(causes[0], DriverTimeout)
        assert client.is_closed and gone[0].is_closed
        assert publication.offer(b"x") == Publication.CLOSED
        with pytest.raises(ClientClosed):
            subscription.poll_batch()
        with pytest.raises(ClientClosed) as caught:
            client.add_counter(1, "late")
        assert caught.value.__cause__ is causes[0]


def test_a_client_that_stood_still_closes_itself(start_driver: Any, wait: Wait) -> None:
    driver = start_driver(
        client_liveness_timeout="700ms",
        timer_interval="100ms",
        publication_unblock_timeout="1s",
    )
    code = f"""
import sys, time
from framelane.client import Client, ClientTimeout
causes = []
client = Client({str(driver.directory)!r}, keepalive_interval=0.05, on_close=causes.append)
client.add_counter(1, "alive")
print("ready", flush=True)
deadline = time.monotonic() + 20
while not causes and time.monotonic() < deadline:
    time.sleep(0.01)
print(type(causes[0]).__name__, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        with Client(driver.directory) as witness:
            wait(lambda: not any(counter.label == "alive" for counter in witness.counters))
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60)[0].strip() == ClientTimeout.__name__
    finally:
        process.kill()
        process.wait()


def test_a_client_survives_an_application_that_holds_the_interpreter(start_driver: Any) -> None:
    import ctypes

    driver = start_driver(
        client_liveness_timeout="700ms",
        timer_interval="100ms",
        publication_unblock_timeout="1s",
    )
    with Client(driver.directory, keepalive_interval=0.1) as client:
        counter = client.add_counter(1, "alive")
        ctypes.PyDLL(None).usleep(900_000)
        ctypes.PyDLL(None).usleep(900_000)
        client.add_counter(1, "another")
        assert counter.label == "alive"


def test_an_invoking_application_does_the_work_itself(driver: Any, wait: Wait) -> None:
    with Client(driver.directory, use_invoker=True) as client:
        subscription = client.add_subscription(IPC, STREAM)
        publication = client.add_publication(IPC, STREAM)
        wait(lambda: client.do_work() + 1 and subscription.images)
        assert publication.offer(b"x") > 0
        assert take(subscription, 1, wait) == [b"x"]


def test_a_forked_child_has_no_client(driver: Any) -> None:
    with Client(driver.directory) as client:
        client.add_counter(1, "parent's")
        child = os.fork()
        if child == 0:
            try:
                client.add_counter(1, "child's")
            except ClientClosed:
                client.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        client.add_counter(1, "parent's second")


def test_messages_are_awaited(driver: Any, udp: str) -> None:
    async def run() -> list[bytes]:
        async with aio.Client(driver.directory) as client:
            subscription = await client.add_subscription(udp, STREAM)
            publication = await client.add_publication(udp, STREAM)
            sent = [b"%d" % i * 300 for i in range(300)]

            async def publish() -> None:
                for message in sent:
                    await publication.offer(message, timeout=60)

            task = asyncio.create_task(publish())
            received: list[bytes] = []
            async with asyncio.timeout(20):
                # A loop that is left early loses nothing.
                while len(received) < len(sent):
                    async for message in subscription:
                        received.append(message)
                        if len(received) % 7 == 0 or len(received) == len(sent):
                            break
            await task
            assert received == sent
            return received

    assert len(asyncio.run(run())) == 300
