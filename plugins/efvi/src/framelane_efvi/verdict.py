"""Can ef_vi be used here, and if not, what is to be done?"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framelane.transport import Capabilities, Device, Findings, Verdict
from framelane_efvi.adapters import Adapter, Machine, find_adapters
from framelane_efvi.build import PACKAGES, SdkNotFoundError, find_sdk
from framelane_efvi.choice import choose_interface, vlan_interface
from framelane_efvi.native import STAND_IN_SWITCH, StandInError, load, refuse_stand_in
from framelane_efvi.settings import EfviSettings

__all__ = ["device_capabilities", "make_verdict"]

REINSTALL = "pip install --force-reinstall --no-cache-dir --no-binary framelane-efvi framelane-efvi"
BUILD = "framelane efvi build"
HUGE_PAGE = 2 << 20
_CAP_IPC_LOCK = 14
#: Of the shared queues: what the adapter fills at a time, and what a packet takes of it (bypass 1.8).
_SUPERBUFFER = 1 << 20
_SHARED_PACKET = 2048
_DEFAULT_RING = 512


def device_capabilities(
    *, mtu_length: int, queues: int, timestamps: bool = False, multicast: bool = True, can_arm: bool = True
) -> Capabilities:
    """Return what a port on such an adapter can do."""
    return Capabilities(
        zero_copy_rx=True,
        hardware_timestamps=timestamps,
        multicast=multicast,
        ipv6=True,
        steering=True,
        kernel_coexists=True,
        queues=queues,
        max_datagram=min(65507, mtu_length - 28),
        max_datagram_ipv6=min(65507, mtu_length - 48),
        can_arm=can_arm,
        needs_privilege=True,
    )


def make_verdict(
    settings: EfviSettings,
    machine: Machine | None = None,
    load_native: Callable[[], tuple[Any, Any]] = load,
) -> Verdict:
    """Look at library, adapters and permissions.

    :param machine: where adapters are looked for; ``None``: this one.
    :param load_native: gives the native half; see :func:`framelane_efvi.native.load`.
    """
    machine = machine or Machine()
    findings = Findings()
    native = _load_native(findings, load_native)
    is_stand_in = native is not None and bool(native[1].fl_efvi_is_stand_in())
    adapters = find_adapters(machine)
    for adapter in adapters:
        findings.fact(f"adapter {adapter.interface}", _describe(adapter))
    interface = settings.interface
    if is_stand_in:
        _check_stand_in(findings, native, settings)
    else:
        interface = _check_adapter(findings, settings, machine, adapters)
        _check_driver(findings, machine)
    _check_memory_limit(findings, native, settings)
    if native is None or interface is None or not findings.is_usable:
        return Verdict(usable=False, facts=tuple(findings.facts), obstacles=tuple(findings.obstacles))
    return _ask_adapter(findings, native, settings, interface)


def _load_native(findings: Findings, load_native: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any] | None:
    asked, where = "the native module framelane_efvi._native", str(Path(__file__).parent)
    try:
        ffi, lib = load_native()
    except ModuleNotFoundError:
        try:
            sdk = find_sdk()
        except SdkNotFoundError as error:
            findings.refuse(
                asked,
                f"framelane-efvi was built without it, because the SDK of ef_vi is missing: {error.missing} not found",
                ", ".join(error.places),
                f"install {PACKAGES} of Onload, then {BUILD}, or {REINSTALL}",
            )
        else:
            findings.refuse(asked, f"it was not built; the SDK is there now: {sdk.library}", where, BUILD)
        return None
    except ImportError as error:
        findings.refuse(asked, str(error), where, f"{BUILD}, or {REINSTALL}")
        return None
    findings.fact("ef_vi", ffi.string(lib.fl_efvi_version()).decode(errors="replace"))
    findings.fact("driver interface", ffi.string(lib.fl_efvi_driver_interface()).decode(errors="replace"))
    return ffi, lib


def _describe(adapter: Adapter) -> str:
    node = "unknown" if adapter.numa_node is None else adapter.numa_node
    parts = [
        f"{adapter.family.name}, {adapter.address} ({adapter.id})",
        f"driver {adapter.driver or 'none'}",
        f"firmware {adapter.firmware or 'not told'}",
        f"NUMA node {node}",
        f"link {adapter.link}",
        f"MTU {adapter.mtu}",
        "shared receive queues" if not adapter.family.has_rings else "descriptor rings",
        f"sends by {adapter.family.can_transmit}",
    ]
    if adapter.family.has_rings and adapter.family.shares_queues:
        parts[-2] = "shared receive queues (express) or descriptor rings"
    return "; ".join(parts + ([adapter.family.licence] if adapter.family.licence else []))


def _check_stand_in(findings: Findings, native: tuple[Any, Any] | None, settings: EfviSettings) -> None:
    assert native is not None
    findings.fact("stand-in", "the native module was built against a stand-in for Solarflare's library")
    try:
        refuse_stand_in(native[1])
    except StandInError as error:
        findings.refuse(
            "Solarflare's library",
            str(error),
            str(Path(__file__).parent),
            f"{BUILD}; in tests set {STAND_IN_SWITCH}=1",
        )
    if settings.interface is None:
        findings.refuse(
            "an interface", "no device configured", "transport.efvi.interface", "name it, as the stand-in does"
        )


def _check_adapter(
    findings: Findings, settings: EfviSettings, machine: Machine, adapters: tuple[Adapter, ...]
) -> str | None:
    where = str(machine.sysfs / "class/net")
    driven = [one for one in adapters if one.is_driven]
    if not adapters:
        findings.refuse(
            "an adapter that ef_vi drives",
            "there is none: no interface of a Solarflare or AMD adapter SFN7000, SFN8000, X2, X3 or X4",
            where,
            "install one; or leave efvi out of transport.use",
        )
        return None
    for adapter in adapters:
        if not adapter.is_driven and settings.interface in (None, adapter.interface):
            findings.note(
                f"{adapter.interface} with the driver sfc or xilinx_efct",
                f"it has the driver {adapter.driver or 'none'}",
                f"{where}/{adapter.interface}/device/driver",
                "load Onload's kernel driver: onload_tool reload",
            )
    chosen = choose_interface(settings.interface, driven)
    if chosen is None:
        names = ", ".join(one.interface for one in driven) or "none"
        if settings.interface is not None:
            findings.refuse(
                f"interface {settings.interface}",
                f"it is none that ef_vi drives; there are: {names}",
                where,
                "set transport.efvi.interface to one of them; never a VLAN, bond or macvlan, but what is below it",
            )
        elif driven:
            findings.refuse(
                "an interface",
                f"no device configured, and there are several: {names}",
                "transport.efvi.interface",
                f'add to the configuration: [transport.efvi] and below it interface = "{driven[0].interface}"',
            )
        else:
            findings.is_usable = False
        return None
    if not chosen.has_link:
        findings.note(
            f"{chosen.interface} with its link up",
            "it has no link",
            f"{where}/{chosen.interface}/carrier",
            f"ip link set dev {chosen.interface} up, and look at cable and switch",
        )
    return chosen.interface


def _check_driver(findings: Findings, machine: Machine) -> None:
    device = machine.device
    if not device.exists():
        findings.refuse(
            f"the device {device}",
            "it does not exist: the kernel module sfc_char is not loaded",
            str(device.parent),
            "modprobe sfc_char (of Onload; onload_tool reload), or leave efvi out of transport.use",
        )
    elif not os.access(device, os.R_OK | os.W_OK):
        state = device.stat()
        findings.refuse(
            f"{device} to read and to write",
            f"uid {os.geteuid()} may not: owner {state.st_uid}, group {state.st_gid}, mode {state.st_mode & 0o777:o}",
            str(device),
            "join its group, or set SFC_CHAR_GROUP and SFC_CHAR_MODE in /etc/sysconfig/openonload and reload sfc_char",
        )
    else:
        findings.fact("device", device)


def _may_lock_memory() -> bool:
    status = Path("/proc/thread-self/status").read_text()
    held = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> _CAP_IPC_LOCK & 1)


def _check_memory_limit(findings: Findings, native: tuple[Any, Any] | None, settings: EfviSettings) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY or _may_lock_memory():
        return
    if native is None:
        findings.fact("locked memory", f"at most {limit >> 10} KiB (ulimit -l)")
        return
    needed = _memory_length(native, settings)
    if needed > limit:
        findings.refuse(
            f"{needed >> 10} KiB of locked memory",
            f"the limit is {limit >> 10} KiB",
            "ulimit -l, without CAP_IPC_LOCK",
            "raise it (systemd LimitMEMLOCK=infinity, docker --ulimit memlock=-1), or grant CAP_IPC_LOCK",
        )


def _ring_size(given: int | None, variable: str) -> int:
    """Return a ring's size as the settings have it, else the library's environment; -1 is the library's default."""
    value = os.environ.get(variable, "")
    return given or (int(value) if value.isascii() and value.isdigit() and int(value) > 0 else -1)


def _memory_length(native: tuple[Any, Any], settings: EfviSettings) -> int:
    """Return the bytes of buffers that all virtual interfaces register."""
    rx, tx = (
        _ring_size(settings.rx_queue_size, "EF_VI_RXQ_SIZE"),
        _ring_size(settings.tx_queue_size, "EF_VI_TXQ_SIZE"),
    )
    return settings.queues * int(native[1].fl_efvi_memory_length(rx, tx, settings.ip_mtu or 1500, 0))


def free_huge_pages() -> int:
    """Return how many pages of 2 MiB are reserved and not in use."""
    try:
        return int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    except (OSError, ValueError):
        return 0


def _check_huge_pages(findings: Findings, settings: EfviSettings, native: tuple[Any, Any], shares_queues: bool) -> None:
    free = free_huge_pages()
    wanted = 0
    if shares_queues:
        packets = max(_ring_size(settings.rx_queue_size, "EF_VI_RXQ_SIZE"), _DEFAULT_RING)
        superbuffers = settings.queues * -(-packets * _SHARED_PACKET // _SUPERBUFFER)
        wanted = -(-superbuffers * _SUPERBUFFER // HUGE_PAGE)
    elif settings.hugepages == "on":
        wanted = settings.queues * -(-_memory_length(native, settings) // settings.queues // HUGE_PAGE)
    findings.fact("huge pages", f"{free} of 2 MiB free, {wanted or 'none'} needed")
    if free < wanted:
        findings.refuse(
            f"{wanted} huge pages of 2 MiB"
            + (", in which the adapter's shared receive queues have their buffers" if shares_queues else ""),
            f"{free} are free",
            "/sys/kernel/mm/hugepages/hugepages-2048kB",
            f"sysctl vm.nr_hugepages={wanted}, or more if others use some",
        )


def _ask_adapter(findings: Findings, native: tuple[Any, Any], settings: EfviSettings, interface: str) -> Verdict:
    ffi, lib = native
    abilities = ffi.new("fl_efvi_abilities_t *")
    text = ffi.new("char[512]")
    if lib.fl_efvi_look(interface.encode(), abilities, text, len(text)) != 0:
        findings.refuse(
            f"interface {interface} through ef_vi",
            ffi.string(text).decode(errors="replace"),
            "ef_vi_capabilities_get",
            "look at the kernel's log (dmesg), or set transport.efvi.interface to another",
        )
        return Verdict(usable=False, facts=tuple(findings.facts), obstacles=tuple(findings.obstacles))
    shares_queues = bool(abilities.shared_queues or (abilities.express and settings.datapath != "enterprise"))
    findings.fact("interface", interface)
    findings.fact("receives into", "shared buffers" if shares_queues else "a descriptor ring")
    ways = [name for name in ("ctpio", "pio") if getattr(abilities, name)]
    findings.fact("sends by", ", ".join([*ways, *([] if abilities.ctpio_only else ["dma"])]))
    findings.fact("timestamps", _yes(rx=abilities.rx_timestamps, tx=abilities.tx_timestamps))
    findings.fact("merged events", "yes" if abilities.event_merge else "no")
    filters = {"IPv4": 1, "IPv6": abilities.udp6_filters, "VLAN tags": abilities.vlan_filters}
    findings.fact("filters for", _yes(**filters))
    findings.fact("multicast to several queues", "yes" if abilities.replication else "not told")
    _check_wishes(findings, settings, abilities)
    _check_ring_sizes(findings, settings, abilities)
    if not lib.fl_efvi_is_stand_in():
        _check_huge_pages(findings, settings, native, shares_queues)
    kernel_name = interface
    if settings.vlan is not None:
        tagged = vlan_interface(interface, settings.vlan)
        if tagged is None:
            findings.refuse(
                f"an interface for VLAN {settings.vlan} on {interface}, whose addresses and neighbours Linux keeps",
                "there is none",
                "ip -details link",
                f"ip link add link {interface} name {interface}.{settings.vlan} type vlan id {settings.vlan}",
            )
        else:
            kernel_name = tagged[1]
    mtu_length = _check_mtu(findings, settings, interface, lib.FL_EFVI_MTU_MAXIMUM)
    return Verdict(
        usable=findings.is_usable,
        capabilities=device_capabilities(
            mtu_length=mtu_length,
            queues=settings.queues,
            timestamps=settings.timestamps and bool(abilities.rx_timestamps),
        ),
        facts=tuple(findings.facts),
        obstacles=tuple(findings.obstacles),
        devices=(Device(name=interface, interface=kernel_name),),
    )


def _yes(**there: Any) -> str:
    return ", ".join(name for name, value in there.items() if value) or "none"


def _check_wishes(findings: Findings, settings: EfviSettings, abilities: Any) -> None:
    """Settings that this adapter cannot fulfil."""
    wishes = (
        ("transmit", settings.transmit == "ctpio" and not abilities.ctpio, "auto"),
        ("transmit", settings.transmit == "pio" and not abilities.pio, "auto"),
        ("transmit", settings.transmit == "dma" and abilities.ctpio_only, "auto"),
        ("event_merge", settings.event_merge == "on" and not abilities.event_merge, "auto"),
        ("datapath", settings.datapath == "express" and not abilities.express, "auto"),
        ("timestamps", settings.timestamps and not abilities.rx_timestamps, None),
        ("tx_timestamps", settings.tx_timestamps and not abilities.tx_timestamps, None),
    )
    for name, is_in_vain, instead in wishes:
        if is_in_vain:
            asked = getattr(settings, name)
            value = f'"{instead}"' if instead is not None else "false"
            findings.refuse(
                f"{name} = {str(asked).lower()}",
                "the adapter has no such thing, or its firmware has not",
                "ef_vi_capabilities_get",
                f"set transport.efvi.{name} = {value}",
            )


def _check_ring_sizes(findings: Findings, settings: EfviSettings, abilities: Any) -> None:
    if abilities.express and settings.datapath != "enterprise":
        return  # what is told is that of the other datapath
    for name in ("rx_queue_size", "tx_queue_size"):
        asked, possible = getattr(settings, name), int(getattr(abilities, f"{name}s"))
        if asked is not None and possible and not possible & asked:
            sizes = [str(1 << bit) for bit in range(possible.bit_length()) if possible >> bit & 1]
            findings.refuse(
                f"{name} = {asked}",
                f"the adapter has {', '.join(sizes)}",
                "ef_vi_capabilities_get",
                f"set transport.efvi.{name} to one of them",
            )


def _check_mtu(findings: Findings, settings: EfviSettings, interface: str, most: int) -> int:
    try:
        mtu = int(Path("/sys/class/net", interface, "mtu").read_text())
    except (OSError, ValueError):  # another network namespace's sysfs
        mtu = 1500
    if settings.ip_mtu is None and mtu > most:
        findings.note(
            f"packets of {mtu} bytes",
            f"at most {most}: a frame has one buffer; longer ones that come are counted as efvi-rx-invalid",
            f"the MTU of {interface}",
            f"lower it, or say that it is meant: transport.efvi.ip_mtu = {most}",
        )
    return min(mtu, settings.ip_mtu or most, most)
