"""The interface stays with Linux: what is not ours passes beside a stream as if the stream were not there."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from support.processes import wait_until
from support.tcp import receive_all, sender_command

pytestmark = pytest.mark.root

FAR = "10.77.0.2"
NEAR = "10.77.0.1"
TCP_BYTES = 100_000_000


class Stream:
    """A far port sends to a near one: the next frames leave when the last ones came.

    A veth pair has one queue of 256 frames for all traffic, and refuses what is too much; the sender counts that.
    """

    def __init__(self, near, far, datagram):
        self.near, self.far = near, far
        self.frame = datagram(NEAR, 4000, bytes(1400)).frame()
        self.sent = 0
        self.received = 0
        self.failure = None
        self.is_wanted = True
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while self.is_wanted:
                self.far.send(*[self.frame] * 64)
                self.sent += 64
                wait_until(self.has_all, "the frames of a burst")
        except BaseException as error:
            self.failure = error

    def has_all(self):
        frames, count = self.near.take()
        assert all(self.near.data(frames[i]) == self.frame for i in range(count))
        self.near.release(frames, count)
        self.received += count
        return self.received == self.sent - self.far.stats()["tx-dropped"]


@contextmanager
def streaming(stream):
    stream.thread.start()
    try:
        yield
    finally:
        stream.is_wanted = False
        stream.thread.join()
    assert stream.failure is None, stream.failure


@pytest.fixture
def stream(veth, make_port, datagram):
    near, far = make_port(veth), make_port(veth, namespace=veth.far)
    near.add_filter(NEAR, 4000)
    far.add_filter(FAR, 4000)
    return Stream(near, far, datagram)


def only_the_stream_was_seen(stream):
    stats = stream.near.stats()
    assert stats["rx-frames"] == stats["program-redirected"] == stream.received > 0
    assert (stats["rx-dropped"], stats["rx-ring-full"], stats["fill-ring-empty"]) == (0, 0, 0)
    assert stream.far.stats()["rx-frames"] == 0


@pytest.mark.parametrize("host", [NEAR, "fd77::1"])
def test_every_ping_is_answered_beside_a_stream(veth, stream, host):
    with streaming(stream):
        told = veth.run(veth.far, "ping", "-q", "-c", "100", "-i", "0.005", "-W", "5", host)
    assert re.search(r"100 packets transmitted, 100 received", told), told
    only_the_stream_was_seen(stream)


def test_a_tcp_transfer_beside_a_stream_arrives_whole(veth, stream):
    with veth.inside(veth.near):
        listener = veth.opened.enter_context(socket.create_server((NEAR, 0)))
    command = ["ip", "netns", "exec", veth.far, *sender_command(listener, TCP_BYTES)]
    with streaming(stream), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        received = receive_all(listener)
        sent = sender.communicate(timeout=30)[0].strip()
    assert received == (TCP_BYTES, sent)
    only_the_stream_was_seen(stream)


def test_kernel_udp_on_other_ports_of_both_ends_goes_on_beside_a_stream(veth, stream):
    echo, client = veth.udp(veth.near), veth.udp(veth.far)
    echo.bind((NEAR, 4001))
    client.bind((FAR, 4001))
    client.connect((NEAR, 4001))
    with streaming(stream):
        for number in range(200):
            client.send(number.to_bytes(4, "big"))
            data, address = echo.recvfrom(100)
            echo.sendto(data, address)
            assert client.recv(100) == number.to_bytes(4, "big")
    only_the_stream_was_seen(stream)
