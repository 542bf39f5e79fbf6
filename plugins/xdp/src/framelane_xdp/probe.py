"""Can AF_XDP be used here, on the configured interface, and if not, what is to be done?"""

from __future__ import annotations

import errno
import os
import platform
import re
import resource
from pathlib import Path
from typing import Any

from framelane.transport import Capabilities, Device, Findings, Verdict
from framelane_xdp.features import Features, read_features
from framelane_xdp.network import Network, read_network
from framelane_xdp.settings import XdpSettings

__all__ = ["device_capabilities", "probe"]

PACKAGES = "libxdp-dev libbpf-dev"
REINSTALL = "pip install --force-reinstall --no-cache-dir --no-binary framelane-xdp framelane-xdp"
#: BPF links for XDP; what is older cannot take a killed driver's program off.
OLDEST_KERNEL = (5, 9)
MULTI_BUFFER_KERNEL = (6, 6)
OWN_PROGRAM = "fl_xdp_filter"
HUGE_PAGE = 2 << 20

_CAPABILITY_BITS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}


def device_capabilities(*, mtu_length: int, queues: int, steering: bool, zero_copy: bool) -> Capabilities:
    """Return what a port on such a device can do."""
    return Capabilities(
        zero_copy_rx=zero_copy,
        multicast=True,
        ipv6=True,
        steering=steering,
        kernel_coexists=True,
        queues=queues,
        max_datagram=min(65507, mtu_length - 28),
        max_datagram_ipv6=min(65507, mtu_length - 48),
        can_arm=True,
        needs_privilege=True,
    )


def probe(settings: XdpSettings) -> Verdict:
    """Look at kernel, privileges and interface; see :class:`framelane.transport.TransportSpec`."""
    findings = Findings()
    findings.fact("kernel", platform.release())
    _check_kernel(findings)
    native = _load_native(findings)
    network = read_network()
    if settings.interface is None:
        others = sorted(name for name in network.names if network.default_route_over(name) is None)
        findings.refuse(
            "an interface",
            "no device configured",
            "transport.xdp.interface",
            f'add to the configuration: [transport.xdp] and below it interface = "{others[0] if others else "eth2"}"'
            + (f" (without default route here: {', '.join(others)})" if others else ""),
        )
    if native is None:
        return Verdict(usable=False, facts=tuple(findings.facts), obstacles=tuple(findings.obstacles))
    ffi, lib = native
    permissions = ffi.new("fl_xdp_permissions_t *")
    lib.fl_xdp_permissions(permissions)
    findings.fact("libbpf", ffi.string(lib.fl_xdp_library_version()).decode())
    _check_permissions(findings, permissions)
    if settings.interface is None:
        return Verdict(usable=False, facts=tuple(findings.facts), obstacles=tuple(findings.obstacles))

    device = ffi.new("fl_xdp_device_t *")
    if lib.fl_xdp_device_look(settings.interface.encode(), device) != 0:
        findings.refuse(
            f"interface {settings.interface}",
            f"there is none of that name; there are: {', '.join(network.names) or 'none'}",
            "this network namespace",
            "set transport.xdp.interface to one of them, or start the driver in the interface's network namespace",
        )
        return Verdict(usable=False, facts=tuple(findings.facts), obstacles=tuple(findings.obstacles))

    features = read_features(device.index)
    _describe(findings, ffi, settings, device, features)
    _check_interface(findings, ffi, settings, device, network)
    _check_modes(findings, ffi, settings, device, features)
    mtu_length = min(device.mtu_length, settings.ip_mtu or lib.FL_XDP_MTU_MAXIMUM, lib.FL_XDP_MTU_MAXIMUM)
    _check_mtu(findings, lib, mtu_length, permissions)
    most_queues = device.device_queues if device.steers else 1
    queues = min(settings.queues or 2, most_queues)
    native_settings = {"ring_size": settings.ring_size, "hugepages": settings.hugepages}
    sizes = [lib.fl_xdp_memory_length(ffi.new("fl_xdp_settings_t *", native_settings), mtu_length, i) for i in (0, 1)]
    _check_memory(findings, settings, queues * sizes[1] + (device.device_queues - queues) * sizes[0])
    kernel_name = settings.interface
    if settings.vlan is not None:
        tagged = network.vlan_interface(settings.interface, settings.vlan)
        kernel_name = tagged.name if tagged is not None else settings.interface
    capabilities = device_capabilities(
        mtu_length=mtu_length,
        queues=queues,
        steering=bool(device.steers) and settings.queues != 1,
        zero_copy=features is not None and features.zero_copy and settings.copy_mode != "copy",
    )
    return Verdict(
        usable=findings.is_usable,
        capabilities=capabilities,
        facts=tuple(findings.facts),
        obstacles=tuple(findings.obstacles),
        devices=(Device(name=settings.interface, interface=kernel_name),),
    )


def _load_native(findings: Findings) -> tuple[Any, Any] | None:
    where = str(Path(__file__).parent)
    try:
        from framelane_xdp._native import ffi, lib
    except ModuleNotFoundError:
        findings.refuse(
            "the native module framelane_xdp._native",
            "framelane-xdp was built without it, because the headers of libxdp and libbpf were missing",
            where,
            f"apt install {PACKAGES} (Fedora: libxdp-devel libbpf-devel), then {REINSTALL}",
        )
        return None
    except ImportError as error:
        library = "libxdp1 libbpf1" if "cannot open shared object" in str(error) else PACKAGES
        findings.refuse(
            "the native module framelane_xdp._native", str(error), where, f"apt install {library}, or {REINSTALL}"
        )
        return None
    return ffi, lib


def _kernel_version() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _check_kernel(findings: Findings) -> None:
    if _kernel_version() < OLDEST_KERNEL:
        findings.refuse(
            f"Linux {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]} or newer",
            f"Linux {platform.release()}",
            "uname -r",
            "run a newer kernel, or leave xdp out of transport.use",
        )


def _effective_capabilities() -> set[str]:
    status = Path("/proc/thread-self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    bits = int(found[1], 16) if found else 0
    return {name for name, bit in _CAPABILITY_BITS.items() if bits >> bit & 1}


def _check_permissions(findings: Findings, permissions: Any) -> None:
    held = _effective_capabilities()
    findings.fact("capabilities", ", ".join(sorted(held)) or "none")
    wanted = ["CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF"]
    if "CAP_SYS_ADMIN" in held:  # the kernel takes it for the other two
        held |= {"CAP_NET_ADMIN", "CAP_BPF"}
    missing = [name for name in wanted if name not in held]
    if missing:
        findings.refuse(
            f"the capabilities {', '.join(wanted)}",
            f"missing: {', '.join(missing)}",
            "/proc/self/status",
            f"run as root, or grant {' '.join(missing)}: systemd AmbientCapabilities={' '.join(missing)}; docker run "
            f"{' '.join(f'--cap-add {name}' for name in missing)}; Kubernetes securityContext.capabilities.add",
        )
        return
    for attempt, code in (
        ("an AF_XDP socket", permissions.socket),
        ("a BPF map", permissions.map),
        ("loading the XDP program", permissions.program),
    ):
        if code != 0:
            absent = code in (errno.EAFNOSUPPORT, errno.ENOSYS)
            findings.refuse(
                attempt,
                f"{os.strerror(code)} ({errno.errorcode.get(code, code)})",
                f"Linux {platform.release()}",
                "run a kernel with CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL"
                if absent
                else "the capabilities are there, so something else forbids it: a user namespace, a seccomp profile "
                "or a security module; allow bpf(2) and AF_XDP sockets (docker run --security-opt seccomp=...)",
            )
            return


def _describe(findings: Findings, ffi: Any, settings: XdpSettings, device: Any, features: Features | None) -> None:
    name = settings.interface
    findings.fact("interface", f"{name} (index {device.index})")
    findings.fact("driver", ffi.string(device.driver).decode() or "unknown")
    findings.fact("mac", bytes(ffi.buffer(device.mac)).hex(":"))
    findings.fact("mtu", device.mtu_length)
    if device.numa_node >= 0:
        findings.fact("NUMA node", device.numa_node)
    findings.fact("link", "up" if device.has_link else "no carrier" if device.is_up else "down")
    findings.fact("device queues", device.device_queues)
    findings.fact("steering (ntuple)", "yes" if device.steers else "no")
    if features is not None:
        findings.fact("native mode", "yes" if features.native else "no: generic mode is used")
        findings.fact("zero-copy", "yes" if features.zero_copy else "no: the kernel copies")
    else:
        findings.fact("native mode, zero-copy", "known when the interface is opened (Linux 6.3 tells before)")
    if device.program_id:
        findings.fact(
            "XDP program", f"{ffi.string(device.program_name).decode() or 'unnamed'} (id {device.program_id})"
        )


def _check_interface(findings: Findings, ffi: Any, settings: XdpSettings, device: Any, network: Network) -> None:
    name = settings.interface
    assert name is not None
    carrier = network.default_route_over(name)
    if carrier is not None and not settings.allow_default_route:
        findings.refuse(
            "an interface without the default route",
            f"{name} carries it (of {carrier}), and a mistake there may cost the way to this machine",
            "ip route, ip -6 route",
            "use another interface, or set transport.xdp.allow_default_route = true",
        )
    program = ffi.string(device.program_name).decode()
    if device.program_id and program != OWN_PROGRAM:
        findings.refuse(
            f"{name} without an XDP program of others",
            f"program {device.program_id}, '{program or 'no name, or none without CAP_SYS_ADMIN'}'",
            "the interface (bpftool net show)",
            f"detach it by what attached it (ip link set dev {name} xdp off), or use another interface",
        )
    if not device.is_up:
        findings.note(f"{name} up", "it is down", "the interface", f"ip link set dev {name} up")
    if settings.vlan is None:
        return
    if network.vlan_interface(name, settings.vlan) is None:
        findings.refuse(
            f"an interface for VLAN {settings.vlan} on {name}, whose addresses and neighbours Linux keeps",
            "there is none",
            "ip -details link",
            f"ip link add link {name} name {name}.{settings.vlan} type vlan id {settings.vlan}",
        )
    if device.strips_vlan and ffi.string(device.driver) != b"veth":
        findings.refuse(
            "VLAN tags in received frames",
            f"{name} takes them out before the XDP program sees them",
            "ethtool -k (rx-vlan-offload)",
            f"ethtool -K {name} rxvlan off",
        )


def _check_modes(findings: Findings, ffi: Any, settings: XdpSettings, device: Any, features: Features | None) -> None:
    driver = ffi.string(device.driver).decode() or "unknown"
    if settings.mode == "native" and features is not None and not features.native:
        findings.refuse(
            "XDP in native mode",
            f"driver {driver} has none",
            f"the features of {settings.interface}",
            'set transport.xdp.mode = "generic" or "auto"',
        )
    if settings.copy_mode == "zero-copy" and features is not None and not features.zero_copy:
        findings.refuse(
            "zero-copy",
            f"driver {driver} has none",
            f"the features of {settings.interface}",
            'set transport.xdp.copy_mode = "copy" or "auto"',
        )
    most = device.device_queues if device.steers else 1
    if settings.queues is not None and settings.queues > most:
        findings.refuse(
            f"{settings.queues} queues",
            f"{most}: driver {driver}, {device.device_queues} device queues, ntuple steering "
            f"{'on' if device.steers else 'off or not there'}",
            f"ethtool -l {settings.interface}, ethtool -k {settings.interface} (ntuple-filters)",
            f"ethtool -K {settings.interface} ntuple on, where the driver can; else set transport.xdp.queues = {most}",
        )


def _check_mtu(findings: Findings, lib: Any, mtu_length: int, permissions: Any) -> None:
    single = lib.FL_XDP_SINGLE_BUFFER_MTU
    if mtu_length <= single:
        findings.fact("buffers of a packet", "1")
        return
    if permissions.multi_buffer and _kernel_version() >= MULTI_BUFFER_KERNEL:
        findings.fact("buffers of a packet", f"several, put together by a copy (one holds {single} bytes)")
        return
    findings.refuse(
        f"packets of {mtu_length} bytes",
        f"at most {single}: Linux {platform.release()} has no AF_XDP packets of several buffers",
        "the interface's MTU",
        f"run Linux 6.6 or newer, lower the MTU, or set transport.xdp.ip_mtu = {single}",
    )


def _check_memory(findings: Findings, settings: XdpSettings, length: int) -> None:
    findings.fact("frame memory", f"{length >> 10} KiB")
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    is_limited = limit != resource.RLIM_INFINITY and "CAP_IPC_LOCK" not in _effective_capabilities()
    if is_limited and length > limit:
        findings.refuse(
            f"{length} bytes of locked memory",
            f"the limit is {limit} bytes",
            "ulimit -l, without CAP_IPC_LOCK",
            "grant CAP_IPC_LOCK, raise the limit (systemd LimitMEMLOCK=infinity, docker --ulimit memlock=-1), or lower "
            "transport.xdp.ring_size",
        )
    if settings.hugepages:
        wanted = length // HUGE_PAGE
        try:
            free = int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
        except (OSError, ValueError):
            free = 0
        findings.fact("huge pages", f"{free} of 2 MiB free, {wanted} needed")
        if free < wanted:
            findings.refuse(
                f"{wanted} huge pages of 2 MiB",
                f"{free} are free",
                "/sys/kernel/mm/hugepages/hugepages-2048kB",
                f"sysctl vm.nr_hugepages={wanted}, or set transport.xdp.hugepages = false",
            )
