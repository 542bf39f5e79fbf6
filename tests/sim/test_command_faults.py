"""Commands that are damaged, and resources that fail under a command: each is answered, and the driver goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from framelane.driver import storage
from framelane.errors import NativeError
from framelane.protocol.commands import (
    AddCounter,
    AddPublication,
    RemovePublication,
)
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import (
    AvailableImage,
    ErrorResponse,
    OperationSuccess,
    PublicationReady,
)
from framelane.testing.simulation import SECOND
from support.commanding import idle, publish, refused, subscribe

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "control-messages.json").read_text())


def test_a_full_counter_table_is_an_error_answer_and_the_driver_goes_on(world):
    client = world.driver("10.0.0.1").client()
    capacity = client.counters.max_counter_id + 1
    used = len(list(client.counters))
    for _ in range(used + 1, capacity):
        client.send(AddCounter, type_id=1001, key=b"", label="")
        if _ % 50 == 0:
            client.keep_alive()
            world.step()
            client.receive()
    error = refused(client, AddPublication, stream_id=7, channel="aeron:ipc")

    assert error.error_message == f"Max counter id ({capacity - 1}) exceeded"
    assert not list(client.driver.directory.rglob("*.logbuffer"))


def test_a_log_that_cannot_be_removed_is_counted_and_tried_again_without_holding_up_others(world, client, monkeypatch):
    stuck, slow = (client.call(AddPublication, PublicationReady, stream_id=i, channel="aeron:ipc") for i in (7, 8))
    unlink, failures = Path.unlink, {stuck.log_file: 100, slow.log_file: 1}

    def fail(path, *args, **kwargs):
        if failures.get(str(path), 0) > 0:
            failures[str(path)] -= 1
            raise PermissionError(1, "not now", str(path))
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", fail)
    for failed, ready in enumerate((stuck, slow), 1):
        client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
        world.run_until(lambda failed=failed: client.counters.value(17) == failed, "a failed removal", 5 * SECOND)
    idle(world, 5 * SECOND, client)

    assert client.counters.value(17) == 2
    assert not Path(slow.log_file).exists()
    assert Path(stuck.log_file).exists()
    failures.clear()
    idle(world, 3 * SECOND, client)
    assert not Path(stuck.log_file).exists()


def corrupted(count, seed):
    """Yield type ids and bodies: commands of the vectors with bytes flipped, cut, grown or of another type."""
    source = random.Random(seed)
    messages = [one for one in VECTORS["messages"] if one["direction"] == "to_driver"]
    for _ in range(count):
        message = source.choice(messages)
        type_id, body = message["type_id"], bytearray.fromhex(message["payload_hex"])
        match source.randrange(4):
            case 0:
                body = body[: source.randrange(len(body) + 1)]
            case 1:
                for _ in range(source.randrange(1, 8)):
                    body[source.randrange(16, len(body)) if len(body) > 16 else 0] = source.randrange(256)
            case 2:
                at = source.randrange(0, max(len(body) - 4, 1))
                body[at : at + 4] = source.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"])
            case 3:
                type_id = source.choice([0x13, 0x7FFFFFFF, 0x0F01, *range(1, 0x13)])
        yield type_id, bytes(body)


@pytest.mark.parametrize("seed", [1, 2])
def test_corrupted_commands_are_answered_and_hurt_nobody(world, client, seed):
    publication = publish(client, "aeron:ipc")
    subscribe(client)
    reader, writer = client.reader(client.wait(AvailableImage)), client.writer(publication)
    arrived, sent = [], []
    for number, (type_id, body) in enumerate(corrupted(100, seed)):
        client.ring.write(type_id, body)
        payload = number.to_bytes(4, "little")
        client.keep_alive()
        world.step()
        assert writer.offer(payload) or writer.offer(payload)
        sent.append(payload)
        world.step()
        arrived += reader.frames()
        client.receive()

    assert arrived == sent
    assert client.call(AddPublication, PublicationReady, stream_id=99, channel="aeron:ipc")
    errors = [event for event in client.events if isinstance(event, ErrorResponse)]
    assert len(errors) > 30
    assert {event.error_code for event in errors} >= {
        ErrorCode.MALFORMED_COMMAND,
        ErrorCode.UNKNOWN_COMMAND_TYPE_ID,
    }
    assert client.counters.value(15) >= len(errors)


def test_records_of_the_ring_that_cannot_be_read_are_skipped_and_counted(world, client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    offset = client.ring.claim(AddPublication.TYPE, 64)
    memory = client.cnc.native.to_driver
    for i, byte in enumerate((5).to_bytes(4, "little")):
        memory[offset - 8 + i] = byte
    world.step()

    joined = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert joined.registration_id == ready.registration_id
    assert [counter.value for counter in client.counters if counter.type_id == 7705] == [1]
    assert "were not readable" in client.cnc.errors()[0].text


def test_a_log_that_does_not_fit_is_answered_and_one_that_barely_does_is_noted(world, monkeypatch):
    text = "insufficient usable storage for new log of length=200704 usable=5 in here"

    def full(directory, length, threshold):
        raise NativeError(text, 28)

    monkeypatch.setattr(storage, "check_storage", full)
    enabled = world.driver("10.0.0.2", perform_storage_checks="true").client()
    error = refused(enabled, AddPublication, stream_id=7, channel="aeron:ipc")
    monkeypatch.setattr(storage, "check_storage", lambda directory, length, threshold: (True, 300_000))
    ready = enabled.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")

    assert (error.error_code, error.error_message) == (ErrorCode.STORAGE_SPACE, text)
    assert [path.name for path in enabled.driver.directory.rglob("*.logbuffer")] == [Path(ready.log_file).name]
    assert "space is running low: threshold=167772160 usable=300000" in enabled.cnc.errors()[1].text
