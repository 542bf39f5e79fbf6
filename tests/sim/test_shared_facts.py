"""What clients and tools read of a driver in shared memory without asking it (shm 1.4, 5.4, 6.1, 7.2)."""

from __future__ import annotations

from pathlib import Path

from framelane import __version__
from framelane._native import ffi
from framelane.channel import ChannelError, ErrorCode
from framelane.driver.socket_buffers import SocketBuffers
from framelane.protocol.commands import AddPublication, RemovePublication
from framelane.protocol.events import (
    AvailableImage,
    OperationSuccess,
    PublicationReady,
)
from framelane.shm.cnc import semantic_version
from framelane.shm.log_buffer import LogBuffer, LogType
from framelane.shm.system_counters import SystemCounter
from framelane.testing.simulation import SECOND
from support.commanding import UDP, idle, publish, refused, subscribe

TERM = 64 * 1024
TIMEOUTS = {
    "linger_timeout_ns": 7_000_000_000,
    "untethered_window_limit_timeout_ns": 6_000_000_000,
    "untethered_resting_timeout_ns": 12_000_000_000,
    "untethered_linger_timeout_ns": 8_000_000_000,
}
UNTETHERED = "untethered-window-limit-timeout=6s|untethered-linger-timeout=8s|untethered-resting-timeout=12s"


def facts(log_file):
    """Return the whole numbers of a log's metadata by name."""
    with LogBuffer.open(Path(log_file)) as log:
        metadata = log.metadata[0]
        values = {name: getattr(metadata, name) for name, _ in ffi.typeof(metadata).fields}
        linger = bytes(values.pop("untethered_linger_timeout_ns"))
        numbers = {name: value for name, value in values.items() if isinstance(value, int)}
        return {**numbers, "untethered_linger_timeout_ns": int.from_bytes(linger, "little")}


def buffers(asked_send, asked_receive):
    of_system = SocketBuffers.of_system()
    return {
        "socket_sndbuf_length": asked_send,
        "os_default_socket_sndbuf_length": of_system.default_send,
        "os_max_socket_sndbuf_length": of_system.max_send,
        "socket_rcvbuf_length": asked_receive,
        "os_default_socket_rcvbuf_length": of_system.default_receive,
        "os_max_socket_rcvbuf_length": of_system.max_receive,
    }


def test_a_log_tells_what_the_channel_of_its_publication_asked_for(client):
    channel = (
        f"{UDP}|tags=3,4|term-length=128k|mtu=4096|pub-wnd=8k|max-resend=5|so-sndbuf=96k|so-rcvbuf=80k|linger=7s|"
        f"sparse=false|eos=false|ssc=true|init-term-id=-3|term-id=-1|term-offset=64|{UNTETHERED}"
    )
    ready = publish(client, channel)

    assert facts(ready.log_file) == {
        "active_term_count": 2,
        "end_of_stream_position": 2**63 - 1,
        "is_connected": 0,
        "active_transport_count": 0,
        "correlation_id": ready.registration_id,
        "initial_term_id": -3,
        "default_frame_header_length": 32,
        "mtu_length": 4096,
        "term_length": 128 * 1024,
        "page_size": 4096,
        "publication_window_length": 8 * 1024,
        "receiver_window_length": 0,
        **buffers(96 * 1024, 80 * 1024),
        "max_resend": 5,
        "entity_tag": 4,
        "response_correlation_id": -1,
        **TIMEOUTS,
        "group": 0,
        "is_response": 0,
        "rejoin": 0,
        "reliable": 0,
        "sparse": 0,
        "signal_eos": 0,
        "spies_simulate_connection": 1,
        "tether": 0,
        "is_publication_revoked": 0,
        "type": LogType.EXCLUSIVE,
    }


def test_a_log_of_ipc_tells_the_defaults(client):
    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    found = facts(ready.log_file)

    assert buffers(0, 0).items() <= found.items()
    expected = {
        "type": LogType.CONCURRENT,
        "term_length": TERM,
        "mtu_length": 1408,
        "publication_window_length": TERM // 2,
        "max_resend": 0,
        "entity_tag": -1,
        "response_correlation_id": -1,
        "linger_timeout_ns": 5_000_000_000,
        "untethered_window_limit_timeout_ns": 5_000_000_000,
        "untethered_linger_timeout_ns": 5_000_000_000,
        "untethered_resting_timeout_ns": 10_000_000_000,
        "sparse": 1,
        "signal_eos": 1,
        "group": 0,
        "spies_simulate_connection": 0,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_log_of_an_image_tells_what_its_first_subscription_asked_for(world, client):
    receiver = world.driver("10.0.0.2").client()
    channel = f"{UDP}|rcv-wnd=16k|so-rcvbuf=80k|reliable=false|rejoin=false|sparse=false|tether=false|{UNTETHERED}"
    subscribe(receiver, channel)
    ready = publish(client, UDP + "|mtu=4096")
    image = receiver.wait(AvailableImage)
    found = facts(image.log_file)

    expected = {
        "active_term_count": 0,
        "end_of_stream_position": 2**63 - 1,
        "is_connected": 0,
        "active_transport_count": 1,
        "correlation_id": image.correlation_id,
        "initial_term_id": facts(ready.log_file)["initial_term_id"],
        "mtu_length": 4096,
        "publication_window_length": 0,
        "receiver_window_length": 16 * 1024,
        **buffers(0, 80 * 1024),
        "entity_tag": 0,
        "response_correlation_id": 0,
        **TIMEOUTS,
        "linger_timeout_ns": 0,
        "group": 0,
        "rejoin": 0,
        "reliable": 0,
        "sparse": 0,
        "signal_eos": 0,
        "tether": 0,
        "type": LogType.IMAGE,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_driver_tells_its_versions_and_what_it_has_mapped(world, client):
    assert client.client_id == 1  # the driver took the first id itself
    counters = client.counters
    version = semantic_version(*map(int, __version__.split(".")[:3]))
    assert counters.value(SystemCounter.AERON_VERSION) == version
    assert counters.value(SystemCounter.CONTROL_PROTOCOL_VERSION) == 1 << 16
    mapped = counters.value(SystemCounter.BYTES_CURRENTLY_MAPPED)
    assert mapped == client.cnc.length + 1024 * 1024  # and the loss report

    ready = client.call(AddPublication, PublicationReady, stream_id=7, channel="aeron:ipc")
    assert counters.value(SystemCounter.BYTES_CURRENTLY_MAPPED) == mapped + Path(ready.log_file).stat().st_size
    client.call(RemovePublication, OperationSuccess, registration_id=ready.correlation_id, flags=0)
    idle(world, 4 * SECOND, client)
    assert counters.value(SystemCounter.BYTES_CURRENTLY_MAPPED) == mapped


def test_every_error_answer_is_in_the_error_log_and_counted(client):
    before = client.counters.value(SystemCounter.ERRORS)
    for _ in range(2):
        error = refused(client, RemovePublication, registration_id=99, flags=0)
    refused(client, AddPublication, stream_id=7, channel="aeron:tcp")

    entries = client.cnc.errors()
    assert client.counters.value(SystemCounter.ERRORS) == before + 3
    assert [entry.count for entry in entries] == [2, 1]
    assert entries[0].text == f"(3) unknown publication\n{error.error_message}"


def test_slow_names_are_in_the_counters(world):
    class Slow:
        def resolve(self, host, parameter):
            world.clock.advance(6 * SECOND)
            raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")

    client = world.driver("10.0.0.1", resolver=Slow()).client()
    refused(client, AddPublication, stream_id=7, channel="aeron:udp?endpoint=nowhere:40123")
    world.run(2 * SECOND)

    assert client.counters.value(SystemCounter.NAME_RESOLVER_MAX_TIME) == 6 * SECOND
    assert client.counters.value(SystemCounter.NAME_RESOLVER_TIME_THRESHOLD_EXCEEDED) == 1
