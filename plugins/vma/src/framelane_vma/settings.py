"""The settings of the VMA transport, the table ``[transport.vma]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from framelane.transport import TransportSettings

__all__ = ["OWNED_VARIABLES", "VmaSettings"]

#: What of VMA's environment other settings say, or is not to be had otherwise.
OWNED_VARIABLES = {
    "VMA_SPEC": "spec",
    "VMA_THREAD_MODE": "thread_mode",
    "VMA_RX_POLL": "rx_poll",
    "VMA_RX_UDP_POLL_OS_RATIO": "os_poll_ratio",
    "VMA_RX_BUFS": "rx_bufs",
    "VMA_TX_BUFS": "tx_bufs",
    "VMA_RX_WRE": "rx_wre",
    "VMA_TX_WRE": "tx_wre",
    "VMA_MEM_ALLOC_TYPE": "memory",
    "VMA_TRACELEVEL": "log_level",
    "VMA_LOG_FILE": "log_file",
    "VMA_TX_NONBLOCKED_EAGAINS": "",
}


class VmaSettings(TransportSettings):
    """What a user may set. What is left out is as the environment and VMA itself have it."""

    library: str = Field(default="libvma.so", min_length=1, description="the library: a file, or a name to look for")
    interfaces: tuple[str, ...] = Field(
        default=(), description="interfaces of ConnectX adapters to serve; all that there are if none is named"
    )
    zero_copy: bool = Field(default=True, description="read datagrams in VMA's own memory where it offers that")
    require_offload: bool = Field(
        default=False, description="refuse an endpoint that VMA would leave to the kernel, which else is a warning"
    )
    receive_budget: int = Field(default=16, ge=1, le=256, description="datagrams that a poll takes at most")
    spec: Literal["latency", "multi_ring_latency"] | None = Field(
        default=None, description="VMA_SPEC, a set of VMA's settings; what is set here goes before it"
    )
    thread_mode: Literal["spin", "mutex", "spin_oversubscribed"] = Field(
        default="spin", description="VMA_THREAD_MODE, how VMA's locks wait; without locks it is not used"
    )
    rx_poll: int | None = Field(
        default=None, ge=-1, le=100_000_000, description="VMA_RX_POLL, turns of a blocking read; the driver has none"
    )
    os_poll_ratio: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="VMA_RX_UDP_POLL_OS_RATIO: the kernel's socket is looked at once in so many polls",
    )
    rx_bufs: int | None = Field(default=None, ge=1024, le=100_000_000, description="VMA_RX_BUFS, for the process")
    tx_bufs: int | None = Field(default=None, ge=1024, le=100_000_000, description="VMA_TX_BUFS, for the process")
    rx_wre: int | None = Field(default=None, ge=64, le=32_768, description="VMA_RX_WRE, receive entries of a ring")
    tx_wre: int | None = Field(default=None, ge=64, le=32_768, description="VMA_TX_WRE, transmit entries of a ring")
    memory: Literal["malloc", "contiguous", "hugepages"] | None = Field(
        default=None, description="VMA_MEM_ALLOC_TYPE, where the buffers are"
    )
    log_level: Literal["panic", "error", "warn", "info", "details", "debug"] | None = Field(
        default=None, description="VMA_TRACELEVEL"
    )
    log_file: str | None = Field(default=None, description="VMA_LOG_FILE; standard error if not given")
    variables: dict[str, str] = Field(
        default_factory=dict, description='further variables of VMA, such as { VMA_STATS_FILE = "/run/vma" }'
    )

    @field_validator("variables")
    @classmethod
    def _are_vmas_own(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name.startswith("VMA_"):
                raise ValueError(f"{name} is no variable of VMA: those begin with VMA_")
            if name in OWNED_VARIABLES:
                key = OWNED_VARIABLES[name]
                raise ValueError(
                    f"{name} is {f'set by the key {key}' if key else 'always 1: nothing is dropped unseen'}"
                )
        return value
