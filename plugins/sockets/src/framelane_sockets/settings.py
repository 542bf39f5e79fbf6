"""The settings of the sockets transport, the table ``[transport.sockets]``."""

from __future__ import annotations

from pydantic import Field

from framelane.transport import TransportSettings

__all__ = ["SocketsSettings"]


class SocketsSettings(TransportSettings):
    """What a user may set. The defaults suit every machine."""

    segmentation: bool = Field(default=True, description="send runs with UDP_SEGMENT where kernel and route allow it")
    coalescing: bool = Field(default=True, description="receive runs with UDP_GRO where the kernel has it")
    receive_buffers: int = Field(default=16, ge=1, le=256, description="buffers of 64 KiB that a poll may fill")
    busy_poll_us: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="SO_BUSY_POLL of receiving sockets, microseconds; 0 is the system's",
    )
