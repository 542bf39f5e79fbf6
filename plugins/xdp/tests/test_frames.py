"""Frames in and out of a port over a veth pair, and those that stay with the kernel."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

FAR = "10.88.0.2"
NEAR = "10.88.0.1"


def is_ipv4(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00"


def test_a_datagram_to_an_owned_endpoint_comes_out_as_the_frame_that_was_sent(veth, port, datagram):
    port.add_filter(NEAR, 4000)
    frame = datagram(NEAR, 4000, b"hello").frame()
    veth.far_packets().send(frame)
    assert port.receive(1) == [frame]


def test_frames_are_transmitted_in_order_and_unchanged(veth, port, datagram):
    far = veth.far_packets()
    frames = [datagram(FAR, 4001, bytes([i]) * 100, source=NEAR).frame() for i in range(200)]
    port.send(*frames)
    assert far.receive(200, is_ipv4) == frames
