"""The accelerators that a driver can be started on, and what each needs in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ACCELERATORS", "Accelerator", "loaded_library"]


@dataclass(frozen=True)
class Accelerator:
    """A library that takes over the socket calls of a process."""

    name: str
    library: str  #: as the dynamic linker looks for it
    #: Set unless the environment has them. The first is the accelerator's own way to fail where it would else leave
    #: the process to the kernel's sockets; the others have a full transmit ring seen.
    variables: Mapping[str, str]
    needs: str  #: what it cannot do without


_ALL = (
    Accelerator(
        name="vma",
        library="libvma.so",
        # 2, an error for each unknown socket option, would refuse options that the driver can do without.
        variables={"VMA_EXCEPTION_HANDLING": "-2", "VMA_TX_NONBLOCKED_EAGAINS": "1"},
        needs="a ConnectX adapter with RDMA in the kernel, CAP_NET_RAW, and memlock without limit",
    ),
    Accelerator(
        name="onload",
        library="libonload.so",
        variables={"EF_NO_FAIL": "0"},
        needs="a Solarflare or AMD adapter, and Onload's kernel modules (onload_tool reload)",
    ),
    Accelerator(
        name="xlio",
        library="libxlio.so",
        variables={"XLIO_EXCEPTION_HANDLING": "-2", "XLIO_TX_NONBLOCKED_EAGAINS": "1"},
        needs="a ConnectX adapter with RDMA in the kernel, CAP_NET_RAW, and memlock without limit",
    ),
)

#: By name.
ACCELERATORS = {one.name: one for one in _ALL}


def loaded_library(accelerator: Accelerator, library: str, maps: Path = Path("/proc/self/maps")) -> str | None:
    """Return the file of an accelerator's library that is mapped into this process, or ``None``.

    :param library: the file or name that was asked for.
    """
    wanted = {Path(library).name, accelerator.library}
    for line in maps.read_text().splitlines():
        path = line.split(maxsplit=5)[5] if line.count("/") else ""
        name = Path(path).name
        if name and any(name == one or name.startswith(f"{one}.") for one in wanted):
            return path
    return None
