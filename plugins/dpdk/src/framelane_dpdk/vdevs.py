"""DPDK's virtual devices, and the arguments that each takes (``bypass-apis`` 2.10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from framelane.transport.names import nearest

__all__ = [
    "RING",
    "VDEVS",
    "Argument",
    "ArgumentValue",
    "Vdev",
    "check_arguments",
    "format_arguments",
    "is_true",
    "split_name",
]

ArgumentValue = bool | int | str
Kind = Literal["text", "number", "yes-no", "0-1", "flag"]

#: The one virtual device that is made of rings of this process, and so takes no argument of DPDK's.
RING = "net_ring"

#: DPDK separates arguments by commas and names from values by ``=``; quotes and brackets group.
_PLAIN = re.compile(r"[^\s,=\"'\[\]{}]+")


@dataclass(frozen=True)
class Argument:
    """One argument of a virtual device."""

    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 2**32 - 1
    since: str = "21.11"  #: first release of DPDK that has it


@dataclass(frozen=True)
class Vdev:
    """A virtual device."""

    arguments: Mapping[str, Argument]
    required: tuple[str, ...] = ()
    interface: str | None = None  #: the argument that names an interface of the kernel
    kernel_coexists: bool = False  #: the kernel's stack sees the same frames
    capabilities: tuple[str, ...] = ()  #: of Linux, that opening it takes
    since: str = "21.11"
    #: Argument for the length of a packet buffer, and what it is without one.
    buffer: tuple[str, int] | None = None
    least_descriptors: int = 0  #: with fewer its rings do not work
    defaults: Mapping[str, ArgumentValue] = field(default_factory=dict)  #: other than DPDK's own


_NUMBER = Argument("number")
_TEXT = Argument()

VDEVS: Mapping[str, Vdev] = {
    "net_memif": Vdev(
        {
            "role": Argument(choices=("server", "client")),
            "id": _NUMBER,
            "socket": _TEXT,
            "socket-abstract": Argument("yes-no"),
            "bsize": Argument("number", least=64, most=65535),
            "rsize": Argument("number", least=1, most=14),
            "mac": _TEXT,
            "secret": _TEXT,
            "zero-copy": Argument("yes-no"),
        },
        buffer=("bsize", 2048),
        # DPDK leaves the listening socket of a closed device open. The name of a file goes all the same, so that the
        # device can be opened again; an abstract name does not.
        defaults={"socket-abstract": False, "role": "client"},
    ),
    RING: Vdev({"link": _TEXT}, required=("link",)),
    "net_af_packet": Vdev(
        {
            "iface": _TEXT,
            "qpairs": Argument("number", least=1, most=1),
            "blocksz": _NUMBER,
            "framesz": _NUMBER,
            "framecnt": _NUMBER,
            "qdisc_bypass": Argument("0-1"),
            "fanout_mode": Argument(since="24.11"),
        },
        required=("iface",),
        interface="iface",
        kernel_coexists=True,
        capabilities=("CAP_NET_RAW",),
        buffer=("framesz", 2048),
    ),
    "net_tap": Vdev(
        {"iface": _TEXT, "mac": _TEXT, "remote": _TEXT, "persist": Argument("flag", since="22.07")},
        capabilities=("CAP_NET_ADMIN",),
    ),
    "net_af_xdp": Vdev(
        {
            "iface": _TEXT,
            "start_queue": _NUMBER,
            "queue_count": Argument("number", least=1, most=1),
            "shared_umem": Argument("0-1"),
            "xdp_prog": _TEXT,
            "busy_budget": _NUMBER,
            "force_copy": Argument("0-1", since="22.11"),
            "use_cni": Argument("0-1", since="23.11"),
            "use_pinned_map": Argument("0-1", since="24.11"),
            "dp_path": Argument(since="24.11"),
            "mode": Argument(choices=("drv", "skb"), since="25.11"),
        },
        required=("iface",),
        interface="iface",
        capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"),
        least_descriptors=2048,
    ),
    "net_pcap": Vdev(
        {
            "rx_pcap": _TEXT,
            "tx_pcap": _TEXT,
            "rx_iface": _TEXT,
            "rx_iface_in": _TEXT,
            "tx_iface": _TEXT,
            "iface": _TEXT,
            "phy_mac": Argument("0-1"),
            "infinite_rx": Argument("0-1"),
        },
        interface="iface",
        kernel_coexists=True,
    ),
    "net_null": Vdev({"size": _NUMBER, "copy": Argument("0-1"), "no-rx": Argument("0-1")}),
}


def split_name(name: str) -> tuple[str, str]:
    """Return the driver and the rest of a virtual device's name: ``net_memif0`` is ``net_memif`` and ``0``.

    :raises ValueError: if no driver of that name is known.
    """
    for driver in sorted(VDEVS, key=len, reverse=True):
        rest = name.removeprefix(driver)
        if name.startswith(driver) and re.fullmatch(r"(_?[A-Za-z0-9_-]{1,20})?", rest):
            return driver, rest
    raise ValueError(f"{name!r} is no virtual device of DPDK that is supported{nearest(name, VDEVS)}")


def check_arguments(driver: str, arguments: Mapping[str, ArgumentValue]) -> None:
    """Check a table of arguments.

    :raises ValueError: with everything that is wrong.
    """
    vdev = VDEVS[driver]
    problems = [f"{name} is needed" for name in vdev.required if name not in arguments]
    for name, value in arguments.items():
        if name not in vdev.arguments:
            known = nearest(name, vdev.arguments) or f"; it takes {', '.join(vdev.arguments)}"
            problems.append(f"{name} is no argument of {driver}{known}")
        else:
            problem = _problem(vdev.arguments[name], value)
            if problem:
                problems.append(f"{name} = {value!r}: {problem}")
    if driver == RING and not re.fullmatch(r"[A-Za-z0-9-]{1,12}", str(arguments.get("link", "x"))):
        problems.append(f"link = {arguments['link']!r}: expected 1 to 12 letters, digits and hyphens")
    if problems:
        raise ValueError("; ".join(problems))


def format_arguments(driver: str, arguments: Mapping[str, ArgumentValue]) -> str:
    """Return checked arguments as DPDK takes them: ``role=client,id=1``."""
    known = VDEVS[driver].arguments
    return ",".join(filter(None, (_formatted(name, known[name], value) for name, value in arguments.items())))


def is_true(value: ArgumentValue) -> bool:
    """Return what a checked yes-or-no argument says."""
    return bool(_truth(value))


def _problem(argument: Argument, value: ArgumentValue) -> str | None:
    match argument.kind:
        case "number":
            number = _number(value)
            if number is None:
                return "expected a number"
            if not argument.least <= number <= argument.most:
                return f"expected {argument.least} to {argument.most}"
        case "yes-no" | "0-1" | "flag":
            if _truth(value) is None:
                return "expected true or false"
        case _:
            if isinstance(value, bool) or not _PLAIN.fullmatch(str(value)):
                return "expected text without white space, commas, equals signs, quotes and brackets"
            if argument.choices and value not in argument.choices:
                return f"expected {' or '.join(argument.choices)}"
    return None


def _number(value: ArgumentValue) -> int | None:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,10}", str(value)):
        return None
    return int(value)


def _truth(value: ArgumentValue) -> bool | None:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return words.get(str(value).lower())


def _formatted(name: str, argument: Argument, value: ArgumentValue) -> str:
    truth = _truth(value)
    match argument.kind:
        case "yes-no":
            return f"{name}={'yes' if truth else 'no'}"
        case "0-1":
            return f"{name}={int(bool(truth))}"
        case "flag":
            return name if truth else ""
        case _:
            return f"{name}={value}"
