"""What Linux says of interfaces and routes in this thread's network namespace, read from ``/proc``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["default_route_interfaces", "interface_names", "vlan_interface"]

_NETWORK = Path("/proc/thread-self/net")
_NO_GATEWAY_REJECT = 0x0200  # RTF_REJECT: an unreachable route


def _lines(path: Path, skip: int) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()[skip:]]
    except OSError:
        return []


def interface_names(network: Path = _NETWORK) -> tuple[str, ...]:
    """Return the interfaces but loopback."""
    try:
        lines = (network / "dev").read_text().splitlines()[2:]
    except OSError:
        return ()
    names = (line.partition(":")[0].strip() for line in lines)
    return tuple(name for name in names if name != "lo")


def default_route_interfaces(network: Path = _NETWORK) -> frozenset[str]:
    """Return the interfaces that a default route leads through, of either family."""
    found = set()
    for fields in _lines(network / "route", skip=1):
        if len(fields) >= 8 and fields[1] == "00000000" and fields[7] == "00000000":
            found.add(fields[0])
    for fields in _lines(network / "ipv6_route", skip=0):
        is_default = len(fields) >= 10 and fields[0] == "0" * 32 and fields[1] == "00"
        if is_default and fields[9] != "lo" and not int(fields[8], 16) & _NO_GATEWAY_REJECT:
            found.add(fields[9])
    return frozenset(found)


def vlan_interface(interface: str, vlan: int, network: Path = _NETWORK) -> str | None:
    """Return the VLAN interface with this tag on top of an interface, or ``None``."""
    for line in _lines(network / "vlan" / "config", skip=2):
        fields = " ".join(line).replace("|", " ").split()
        if len(fields) == 3 and fields[1:] == [str(vlan), interface]:
            return fields[0]
    return None


def vlan_interfaces(interface: str, network: Path = _NETWORK) -> frozenset[str]:
    """Return all VLAN interfaces on top of an interface."""
    rows = (" ".join(line).replace("|", " ").split() for line in _lines(network / "vlan" / "config", skip=2))
    return frozenset(fields[0] for fields in rows if len(fields) == 3 and fields[2] == interface)
