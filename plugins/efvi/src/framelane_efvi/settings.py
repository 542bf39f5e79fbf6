"""The settings of the ef_vi transport, the table ``[transport.efvi]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from framelane.transport import PortSettings
from framelane_efvi.conf_file import read_conf_file

__all__ = ["EfviSettings"]


class EfviSettings(PortSettings):
    """What a user may set. Nothing set is the only adapter of the machine."""

    #: The premium driver's names of the environment. ``EF_VI_RXQ_SIZE``, ``EF_VI_TXQ_SIZE`` and ``EF_VI_EVQ_SIZE`` are
    #: read by the library itself, for sizes that are not set here.
    environment: ClassVar[Mapping[str, str]] = {"AERON_EF_VI_CONF_FILE": "conf_file"}

    conf_file: Path | None = Field(
        default=None, description="A file with lines KEY=VALUE, of these settings; what is set elsewhere goes before."
    )
    interface: str | None = Field(
        default=None,
        min_length=1,
        max_length=15,
        pattern=r"^[^\s/:]+$",
        description="Interface of the adapter, such as eth2; with vlan the one below the VLAN interface. Not given: "
        "the only one that ef_vi drives.",
    )
    queues: int = Field(
        default=2, ge=1, le=16, description="Virtual interfaces, one for each thread: 2 for a sender and a receiver."
    )
    rx_queue_size: int | None = Field(
        default=None, ge=512, le=131072, description="Receive descriptors of a virtual interface; a power of two."
    )
    tx_queue_size: int | None = Field(
        default=None, ge=128, le=4096, description="Transmit descriptors of a virtual interface; a power of two."
    )
    event_queue_size: int | None = Field(
        default=None, ge=128, le=32768, description="Entries of its event queue; a power of two."
    )
    datapath: Literal["auto", "express", "enterprise"] = Field(
        default="auto",
        description="Of an X4: the low-latency one, the one with descriptor rings, or the first if it has.",
    )
    transmit: Literal["auto", "ctpio", "pio", "dma"] = Field(
        default="auto", description="How frames reach the adapter; auto is the quickest that it has."
    )
    ctpio_threshold: int = Field(
        default=64,
        ge=64,
        le=0xFFFF,
        description="With CTPIO: bytes that the adapter has before it begins to send; 65535: the whole frame.",
    )
    event_merge: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Several received frames in one event: more throughput, more latency. auto: off, unless the "
        "adapter's licence allows nothing else.",
    )
    share_queues: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="X3 and X4 express: receive queues with other processes, alone, or as the adapter does.",
    )
    vi_flags: tuple[Literal["tx_push_always", "tx_push_disable", "tx_ctpio_no_poison", "enable_tph"], ...] = Field(
        default=(), description="Further flags of the virtual interfaces, the EF_VI_ names in lower case."
    )
    hugepages: Literal["auto", "on", "off"] = Field(
        default="auto", description="Buffers in huge pages of 2 MiB; auto: if there are free ones."
    )
    timestamps: bool = Field(default=False, description="The adapter stamps what it receives.")
    tx_timestamps: bool = Field(default=False, description="The adapter stamps what it sends; shown as figures.")
    link_wait_ms: int = Field(
        default=2000, ge=0, le=60_000, description="How long to wait for the link at the start, milliseconds."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_file(cls, given: Any) -> Any:
        """Take what the file says for what is not given."""
        if not isinstance(given, dict) or not given.get("conf_file"):
            return given
        return read_conf_file(Path(given["conf_file"]), known=cls.model_fields) | given

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("rx_queue_size", "tx_queue_size", "event_queue_size"):
            size = getattr(self, name)
            if size is not None and size & (size - 1):
                raise ValueError(f"{name} = {size} is not a power of two")
        if self.neighbours == "own":
            raise ValueError('neighbours = "own": with ef_vi, ARP and NDP stay with Linux; leave it out')
        if {"tx_push_always", "tx_push_disable"} <= set(self.vi_flags):
            raise ValueError("vi_flags: tx_push_always and tx_push_disable exclude each other")
        return self
