"""VMA's environment, derived from the settings. The library reads it once in a process, at its first call."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from framelane_vma.settings import VmaSettings

__all__ = ["PROBE_VARIABLES", "apply", "derive", "replaced"]

_THREAD_MODES = {"spin": 1, "mutex": 2, "spin_oversubscribed": 3}
_MEMORY = {"malloc": 0, "contiguous": 1, "hugepages": 2}

#: For a probe's process, which makes one socket and no ring: VMA's own sizes are hundreds of megabytes.
PROBE_VARIABLES = {"VMA_RX_BUFS": "2048", "VMA_TX_BUFS": "2048", "VMA_RX_WRE": "256", "VMA_MEM_ALLOC_TYPE": "0"}


def derive(settings: VmaSettings) -> dict[str, str]:
    """Return what is to be set, by name.

    Always there: a full transmit ring is an error and not a silent drop, which is VMA's own default; VMA has locks,
    because agents and the control plane are different threads; the kernel's sockets are looked at.

    Source: bypass-apis 3.3.
    """
    chosen: dict[str, object] = {
        "VMA_TX_NONBLOCKED_EAGAINS": 1,
        "VMA_THREAD_MODE": _THREAD_MODES[settings.thread_mode],
        "VMA_RX_UDP_POLL_OS_RATIO": settings.os_poll_ratio,
        "VMA_SPEC": settings.spec,
        "VMA_RX_POLL": settings.rx_poll,
        "VMA_RX_BUFS": settings.rx_bufs,
        "VMA_TX_BUFS": settings.tx_bufs,
        "VMA_RX_WRE": settings.rx_wre,
        "VMA_TX_WRE": settings.tx_wre,
        "VMA_MEM_ALLOC_TYPE": None if settings.memory is None else _MEMORY[settings.memory],
        "VMA_TRACELEVEL": settings.log_level,
        "VMA_LOG_FILE": settings.log_file,
    }
    return {name: str(value) for name, value in chosen.items() if value is not None} | settings.variables


def replaced(variables: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that have another value in the environment: that value, by name."""
    return {name: environ[name] for name, value in variables.items() if environ.get(name, value) != value}


def apply(variables: Mapping[str, str], environ: MutableMapping[str, str] = os.environ) -> None:
    """Set them for this process. What else of VMA stands in the environment is left there, and VMA reads it."""
    environ.update(variables)
