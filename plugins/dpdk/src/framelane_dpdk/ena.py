"""Amazon's network adapter: what each release of DPDK calls its arguments (``bypass-apis`` 2.9)."""

from __future__ import annotations

from framelane.errors import TransportError
from framelane_dpdk.settings import DpdkSettings
from framelane_dpdk.vdevs import ArgumentValue

__all__ = ["ena_arguments"]

_LLQ_POLICY = {"off": 0, "device": 1, "normal": 2, "large": 3}


#: What the driver calls it; its guide lists ``control_poll_interval``, which it does not know.
_POLL_INTERVAL = "control_path_poll_interval"
_POLL_INTERVAL_MS = 1000  # 500 to 1000
#: Gives programs no interrupts of the device, by which its admin queue would tell of completions.
_WITHOUT_INTERRUPTS = "uio_pci_generic"


def ena_arguments(
    settings: DpdkSettings, version: tuple[int, int], driver: str | None = None
) -> dict[str, ArgumentValue]:
    """Return the device arguments that the settings come to; those that are given by hand win.

    :param version: year and month of the DPDK release, ``(22, 11)``.
    :param driver: kernel driver that the device is bound to.
    :raises TransportError: if this release has no argument for what was asked, or for what the kernel driver takes.
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
    if "control_poll_interval" in settings.devargs:
        raise TransportError(
            "transport.dpdk.devargs: control_poll_interval is what the guide says, and ENA's driver does not know it; "
            f"write {_POLL_INTERVAL}"
        )
    if driver == _WITHOUT_INTERRUPTS and _POLL_INTERVAL not in settings.devargs:
        if version < (24, 11):
            raise TransportError(
                f"transport.dpdk.device: {release} cannot drive an ENA device that is bound to {driver}, which gives "
                "it no interrupts; bind it to vfio-pci (framelane dpdk bind) or igb_uio, or install DPDK 24.11 or newer"
            )
        arguments[_POLL_INTERVAL] = _POLL_INTERVAL_MS
    return arguments | settings.devargs
