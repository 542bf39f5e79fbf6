"""Whose timestamps an endpoint with ``media-rcv-ts-offset`` has, for its verdict and its counter (docs/counters.md)."""

from __future__ import annotations

from dataclasses import replace

from framelane._native import lib
from framelane.driver.plane_params import EndpointParams, OpenedEndpoint
from framelane.transport.selection import Chosen

__all__ = ["clock_label", "with_clock"]

_SENTENCES = {
    "hardware": "Media receive timestamps are the device's.",
    "software": "Media receive timestamps are made in software by the transport.",
    "driver": "Media receive timestamps are made in software by the driver when it polls.",
}


def with_clock(chosen: Chosen, params: EndpointParams, opened: OpenedEndpoint) -> Chosen:
    """Return the verdict of an opened endpoint, which also says whose timestamps it has if it asked for them."""
    if not params.flags & lib.FL_ENDPOINT_TIMESTAMPS:
        return chosen
    return replace(chosen, why=f"{chosen.why} {_SENTENCES[_clock_of(opened)]}")


def clock_label(channel_status_id: int, transport: str, opened: OpenedEndpoint) -> str:
    """Return the label of the counter about an endpoint's receive timestamps."""
    return f"media-rcv-timestamps: {channel_status_id} {transport} {_clock_of(opened)}"


def _clock_of(opened: OpenedEndpoint) -> str:
    if opened.receive_clock == lib.FL_CLOCK_NONE:
        return "driver"
    return "software" if opened.receive_clock == lib.FL_CLOCK_SOFTWARE else "hardware"
