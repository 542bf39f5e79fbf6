"""The settings of the AF_XDP transport, the table ``[transport.xdp]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from framelane.transport import PortSettings

__all__ = ["XdpSettings"]


class XdpSettings(PortSettings):
    """What a user may set. Only ``interface`` has to be; ``vlan`` and ``ip_mtu`` are those of every port."""

    interface: str | None = Field(
        default=None,
        min_length=1,
        max_length=15,
        pattern=r"^[^\s/:]+$",
        description="Interface to use, such as eth2; with vlan the one below the VLAN interface. It stays with Linux.",
    )
    mode: Literal["auto", "native", "generic"] = Field(
        default="auto",
        description="Where the XDP program runs: in the driver, in the kernel's stack behind it (slower, works "
        "everywhere), or in the driver if that is possible.",
    )
    copy_mode: Literal["auto", "zero-copy", "copy"] = Field(
        default="auto", description="Whether the device uses our memory, the kernel copies, or the first if possible."
    )
    queues: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Pairs of queues, one for each thread; more than 1 needs ntuple steering. Not given: 2 with "
        "steering, else 1.",
    )
    ring_size: int = Field(
        default=2048, ge=64, le=16384, description="Frames in a receive and in a transmit ring; a power of two."
    )
    need_wakeup: bool = Field(default=True, description="Make system calls only when the kernel asks for one.")
    busy_poll_us: int = Field(
        default=0, ge=0, le=1_000_000, description="Preferred busy polling for so long, microseconds; 0: interrupts."
    )
    busy_poll_budget: int = Field(default=64, ge=1, le=65535, description="Frames that one busy poll may take.")
    hugepages: bool = Field(default=False, description="Frame memory in huge pages of 2 MiB, reserved beforehand.")
    allow_default_route: bool = Field(
        default=False,
        description="Use the interface even if it has the default route, over which you may be logged in.",
    )
    link_wait_ms: int = Field(
        default=2000, ge=0, le=60_000, description="How long to wait for the link at the start, milliseconds."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.ring_size & (self.ring_size - 1):
            raise ValueError(f"ring_size = {self.ring_size} is not a power of two")
        if self.mode == "generic" and self.copy_mode == "zero-copy":
            raise ValueError('copy_mode = "zero-copy" needs mode = "native" or "auto"')
        if self.neighbours == "own":
            raise ValueError('neighbours = "own": with AF_XDP, ARP and NDP stay with Linux; leave it out')
        return self
