"""What ``framelane bench frames`` measures: rings in a process and memif between two, beside plain bursts of DPDK."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane.transport import Arrangement, ArrangementEnd, FloorJob, FloorOutcome
from framelane_dpdk.settings import DpdkSettings

__all__ = ["DpdkFloor", "arrangements"]

_ADDRESSES = ("10.73.0.1", "10.73.0.2")
#: One queue, as a driver with one thread for sender and receiver uses it; a link is there when the other end is.
_COMMON: dict[str, Any] = {"queues": 1, "link_wait_ms": 0}
_FLOOR_DEVICE = "net_memif9"


class DpdkFloor:
    """The floor's device; see ``c/floor.c``."""

    def __init__(self, name: str, devargs: str, end: int, directory: Path | None = None) -> None:
        """Take the device, starting DPDK in this process if it is not.

        :param directory: of its socket, if it has one; DPDK calls it an invalid argument if that is gone.
        :raises TransportError: if DPDK refuses.
        """
        from framelane_dpdk.environment import start_environment
        from framelane_dpdk.native import load

        self._ffi, self._lib = load()
        start_environment(DpdkSettings(), needs_physical=False)
        text, floor = self._ffi.new("char[1024]"), self._ffi.new("fl_dpdk_floor_t **")
        if self._lib.fl_dpdk_floor_open(name.encode(), devargs.encode(), end, text, len(text), floor) != 0:
            next_step = "mend what DPDK complains of, and measure again"
            if directory is not None and not directory.is_dir():
                next_step = f"{directory} was removed while the benchmark needed it; measure again, and leave it alone"
            raise TransportError(f"{self._ffi.string(text).decode()}; next: {next_step}")
        self._floor = floor[0]

    def run(self, job: FloorJob) -> FloorOutcome:
        """See :class:`framelane.transport.Floor`."""
        fields = dataclasses.asdict(job)
        loop = self._lib.fl_dpdk_floor_send if fields.pop("is_sender") else self._lib.fl_dpdk_floor_receive
        params = self._ffi.new("fl_floor_params_t *", fields)
        result = self._ffi.new("fl_floor_result_t *")
        code = loop(self._floor, params, result)
        if code != 0:
            raise TransportError(f"the floor of transport 'dpdk' did not get through to its other end: error {-code}")
        return FloorOutcome(**{field.name: getattr(result, field.name) for field in dataclasses.fields(FloorOutcome)})

    def close(self) -> None:
        """See :class:`framelane.transport.Floor`."""
        self._lib.fl_dpdk_floor_close(self._floor)


def arrangements(directory: Path) -> list[Arrangement]:
    """Return the arrangements; see ``TransportHooks.framelane_bench``."""
    return [
        Arrangement("ring", "process", (_ring(0), _ring(1)), "raw DPDK bursts"),
        Arrangement("memif", "processes", (_memif(directory, 0), _memif(directory, 1)), "raw DPDK bursts"),
    ]


def _ring(end: int) -> ArrangementEnd:
    device = {"vdev": "net_ring", "vdev_args": {"link": "bench"}}
    return _end(end, device, partial(DpdkFloor, "fl_bench_floor", "", end))


def _memif(directory: Path, end: int) -> ArrangementEnd:
    role = ("server", "client")[end]
    device = {"vdev": "net_memif0", "vdev_args": {"role": role, "socket": str(directory / "memif.sock")}}
    devargs = f"{_FLOOR_DEVICE},role={role},socket={directory / 'floor.sock'},socket-abstract=no"
    return _end(end, device, partial(DpdkFloor, _FLOOR_DEVICE, devargs, end, directory))


def _end(end: int, device: dict[str, Any], floor: partial[DpdkFloor]) -> ArrangementEnd:
    address = _ADDRESSES[end]
    return ArrangementEnd(address, {**_COMMON, **device, "addresses": [f"{address}/24"]}, floor)
