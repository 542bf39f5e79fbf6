"""The settings of the DPDK transport, the table ``[transport.dpdk]``.

A device is named in one of three ways: ``device`` by its PCI address or by its interface name under Linux, ``vdev`` a
virtual one, ``port_id`` by its number. What Linux knew of a device before DPDK took it fills what is not given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from framelane.transport import PortSettings
from framelane_dpdk import saved_state
from framelane_dpdk.naming import numbered_device, pci_address_of
from framelane_dpdk.vdevs import ArgumentValue, check_arguments, split_name

__all__ = ["DpdkSettings", "processors_of"]

#: Arguments of DPDK that a setting says, or that a driver cannot do with: what to do in their place.
_OWNED_ARGUMENTS = {
    "-l": "set cores",
    "-c": "set cores",
    "--lcores": "set cores",
    "--main-lcore": "set cores",
    "-m": "set memory",
    "--socket-mem": "set memory",
    "--numa-mem": "set memory",
    "--in-memory": "set hugepages = true, which is in memory",
    "--no-huge": "set hugepages = false",
    "--no-shconf": "set hugepages = false",
    "--iova-mode": "set iova",
    "--file-prefix": "set file_prefix",
    "-a": "set device",
    "--allow": "set device",
    "-w": "set device",
    "-b": "set device",
    "--block": "set device",
    "--vdev": "set vdev and vdev_args",
    "--proc-type": "a driver is a primary process, so leave it out",
    "-h": "it would end the process",
    "--help": "it would end the process",
}
_MOST_MTU = 9216  #: what ``ip_mtu`` takes
_DEVICE = re.compile(r"([0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[01][0-9A-Fa-f]\.[0-7]|[^\s/:,=]{1,15}")
_CPU_LIST = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_PLAIN = re.compile(r"[^\s,=]+")


class DpdkSettings(PortSettings):
    """What a user may set. Nothing set is no device."""

    #: The premium driver's names of the environment.
    environment: ClassVar[Mapping[str, str]] = {
        "AERON_DPDK_LOCAL_IPV4_ADDRESS": "addresses",
        "AERON_DPDK_GATEWAY_IPV4_ADDRESS": "gateway",
        "AERON_DPDK_MTU": "ip_mtu",
        "AERON_DPDK_TX_QUEUE_SIZE": "tx_queue_size",
        "AERON_DPDK_RX_QUEUE_SIZE": "rx_queue_size",
        "AERON_DPDK_PORT_ID": "port_id",
        "AERON_DPDK_USER": "driver.user",
        "AERON_DPDK_GROUP": "driver.group",
    }

    device: str | None = Field(
        default=None, description='PCI address, "0000:03:00.0", or interface name under Linux, "eth2".'
    )
    vdev: str | None = Field(
        default=None,
        description="Virtual device: net_memif, net_ring, net_af_packet, net_tap, net_af_xdp, net_pcap or net_null, "
        "with a number behind it or without.",
    )
    vdev_args: dict[str, ArgumentValue] = Field(
        default={}, description='Arguments of the virtual device, such as { role = "client", socket = "/run/a.sock" }.'
    )
    devargs: dict[str, ArgumentValue] = Field(
        default={}, description="Arguments that DPDK's driver of a PCI device takes, passed as they are."
    )
    port_id: int | None = Field(
        default=None,
        ge=0,
        le=255,
        description="In place of device: its number among those that DPDK can take, by PCI address.",
    )
    queues: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Most queue pairs to use; one where the device can neither steer nor be kept to one.",
    )
    rx_queue_size: int = Field(default=1024, ge=64, le=32768, description="Receive descriptors of a queue.")
    tx_queue_size: int = Field(default=1024, ge=64, le=32768, description="Transmit descriptors of a queue.")
    link_wait_ms: int = Field(default=1000, ge=0, le=60_000, description="How long a start waits for the link.")
    checksum_offload: bool = Field(default=True, description="Let the device do checksums where it can.")
    timestamps: bool = Field(default=False, description="Let the device stamp received frames where it can.")
    zero_copy_tx: bool = Field(
        default=False, description="Let the device read payload from term buffers where it can, rather than copy it."
    )
    ena_llq: Literal["device", "off", "normal", "large"] = Field(
        default="device", description="Amazon ENA: headers of the low-latency queue; device is what it recommends."
    )
    ena_tx_timeout_s: int | None = Field(
        default=None, ge=0, le=60, description="Amazon ENA: seconds until a missing transmit completion is a fault."
    )

    cores: str | None = Field(
        default=None, description="Processors that DPDK's own threads may use, \"0-1,4\"; this process's if not given."
    )
    memory: int | None = Field(
        default=None,
        ge=16,
        le=1 << 20,
        description="MiB to take at the start; without, 256 MiB of plain pages, or huge pages as needed.",
    )
    hugepages: bool | None = Field(default=None, description="Use huge pages; if not given, where there are free ones.")
    iova: Literal["auto", "pa", "va"] = Field(
        default="auto", description="Addresses that devices use: physical, or virtual behind an IOMMU."
    )
    file_prefix: str | None = Field(default=None, description="Prefix of DPDK's files at run time.")
    extra_eal_args: tuple[str, ...] = Field(
        default=(), description="Further arguments of rte_eal_init, none of those that other settings say."
    )

    @field_validator("device")
    @classmethod
    def _device(cls, value: str | None) -> str | None:
        if value is not None and not _DEVICE.fullmatch(value):
            raise ValueError("expected a PCI address such as 0000:03:00.0, or an interface name")
        return value

    @field_validator("cores")
    @classmethod
    def _cores(cls, value: str | None) -> str | None:
        if value is not None and not _CPU_LIST.fullmatch(value):
            raise ValueError('expected numbers and ranges, such as "0-1,4"')
        return value

    @field_validator("file_prefix")
    @classmethod
    def _file_prefix(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
            raise ValueError("expected up to 64 letters, digits, dots, hyphens and underscores")
        return value

    @field_validator("devargs")
    @classmethod
    def _devargs(cls, value: dict[str, ArgumentValue]) -> dict[str, ArgumentValue]:
        for name, one in value.items():
            if not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(str(one)):
                raise ValueError(f"{name} = {one!r}: expected text without white space, commas and equals signs")
        return value

    @field_validator("extra_eal_args")
    @classmethod
    def _extra_eal_args(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what the other settings say: DPDK takes the last word of some, and refuses others together."""
        problems = []
        for argument in value:
            name = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
            if name in _OWNED_ARGUMENTS:
                problems.append(f"{argument}: {_OWNED_ARGUMENTS[name]}")
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @model_validator(mode="before")
    @classmethod
    def _fill_from_saved(cls, given: Any) -> Any:
        """Take what Linux knew of the device for what is not given."""
        if not isinstance(given, dict) or given.get("addresses") or given.get("neighbours") == "kernel":
            return given
        saved = _saved_state(given)
        if saved is None:
            return given
        kept = {
            "addresses": saved.addresses,
            "gateway": saved.gateway,
            "routes": _kept_routes(saved),
            "ip_mtu": min(saved.mtu, _MOST_MTU),
        }
        return {**given, **{name: value for name, value in kept.items() if given.get(name) in (None, (), [])}}

    @model_validator(mode="after")
    def _one_device(self) -> Self:
        named = [name for name in ("device", "vdev", "port_id") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)}: name the device in one way")
        if self.vdev is not None:
            driver, _ = split_name(self.vdev)
            check_arguments(driver, self.vdev_args)
        elif self.vdev_args:
            raise ValueError("vdev_args: there is no vdev to take them")
        if self.devargs and self.vdev is not None:
            raise ValueError("devargs: these are for PCI devices; a vdev takes vdev_args")
        return self


def processors_of(cores: str) -> set[int]:
    """Return the processors of a list such as ``0-1,4``."""
    found: set[int] = set()
    for part in filter(None, cores.split(",")):
        first, _, last = part.partition("-")
        found |= {int(first), *range(int(first), int(last or first) + 1)}
    return found


def _kept_routes(saved: saved_state.SavedInterface) -> list[dict[str, str | None]]:
    """Return what Linux had beside its default routes, and what it knew of gateways by their flag ``onlink`` alone."""
    routes = [{"to": route.to, "via": route.via} for route in saved.routes]
    on_link = [ip_interface(address).network for address in saved.addresses]
    on_link += [ip_network(route.to) for route in saved.routes if route.via is None]
    for gateway in map(ip_address, {*saved.gateway, *(route.via for route in saved.routes if route.via is not None)}):
        if not gateway.is_link_local and not any(gateway in network for network in on_link):
            routes.append({"to": f"{gateway}/{gateway.max_prefixlen}", "via": None})
    return routes


def _saved_state(given: Mapping[str, Any]) -> saved_state.SavedInterface | None:
    device = given.get("device")
    try:
        if device is None and str(given.get("port_id") or "").isdigit():
            device = numbered_device(int(given["port_id"]))
        address = pci_address_of(device) if isinstance(device, str) else None
        return saved_state.load(address) if address is not None else None
    except saved_state.SavedStateError as error:
        raise ValueError(str(error)) from error
