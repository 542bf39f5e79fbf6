"""Amazon's network adapter: what each release of DPDK calls its arguments (``bypass-apis`` 2.9)."""

from __future__ import annotations

from framelane.errors import TransportError
from framelane_dpdk.settings import DpdkSettings
from framelane_dpdk.vdevs import ArgumentValue

__all__ = ["ena_arguments"]

_LLQ_POLICY = {"off": 0, "device": 1, "normal": 2, "large": 3}


def ena_arguments(settings: DpdkSettings, version: tuple[int, int]) -> dict[str, ArgumentValue]:
    """Return the device arguments that the settings come to; those that are given by hand win.

    :param version: year and month of the DPDK release, ``(22, 11)``.
    :raises TransportError: if this release has no argument for what was asked.
    """
    arguments: dict[str, ArgumentValue] = {}
    release = f"DPDK {version[0]}.{version[1]:02}"
    if settings.ena_llq != "device":
        if version >= (24, 11):
            arguments["llq_policy"] = _LLQ_POLICY[settings.ena_llq]
        elif settings.ena_llq == "large":
            arguments["large_llq_hdr"] = 1
        elif settings.ena_llq == "normal":
            arguments["large_llq_hdr"] = 0
        elif version >= (22, 11):
            arguments["enable_llq"] = 0
        else:
            raise TransportError(f"transport.dpdk.ena_llq = 'off': {release} cannot; it takes 22.11 or newer")
    if settings.ena_tx_timeout_s is not None:
        if version < (22, 11):
            asked = f"transport.dpdk.ena_tx_timeout_s = {settings.ena_tx_timeout_s}"
            raise TransportError(f"{asked}: {release} cannot; it takes 22.11 or newer")
        arguments["miss_txc_to"] = settings.ena_tx_timeout_s
    return arguments | settings.devargs
