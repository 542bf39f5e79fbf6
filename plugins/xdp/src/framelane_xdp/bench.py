"""What ``framelane bench frames`` measures: AF_XDP at both ends of a veth pair, beside a plain loop over its rings."""

from __future__ import annotations

import dataclasses
from typing import Any

from framelane.errors import TransportError
from framelane.transport import VETH_INTERFACE, Arrangement, ArrangementEnd, FloorJob, FloorOutcome

__all__ = ["XdpFloor", "arrangements"]


class XdpFloor:
    """The floor's device: queue 0 of an interface; see ``c/floor.c``."""

    def __init__(self, interface: str = VETH_INTERFACE) -> None:
        """Take the queue.

        :raises TransportError: if the kernel refuses.
        """
        try:
            from framelane_xdp._native import ffi, lib
        except ImportError as error:
            raise TransportError(f"the native half of transport 'xdp' cannot be loaded: {error}") from error
        self._ffi, self._lib = ffi, lib
        text, floor = ffi.new("char[512]"), ffi.new("fl_xdp_floor_t **")
        if lib.fl_xdp_floor_open(interface.encode(), text, len(text), floor) != 0:
            raise TransportError(ffi.string(text).decode())
        self._floor = floor[0]

    def run(self, job: FloorJob) -> FloorOutcome:
        """See :class:`framelane.transport.Floor`."""
        fields = dataclasses.asdict(job)
        loop = self._lib.fl_xdp_floor_send if fields.pop("is_sender") else self._lib.fl_xdp_floor_receive
        params = self._ffi.new("fl_floor_params_t *", fields)
        result = self._ffi.new("fl_floor_result_t *")
        if loop(self._floor, params, result) != 0:
            raise TransportError("the floor of transport 'xdp' has no memory")
        return _outcome(result)

    def close(self) -> None:
        """See :class:`framelane.transport.Floor`."""
        self._lib.fl_xdp_floor_close(self._floor)


def _outcome(result: Any) -> FloorOutcome:
    return FloorOutcome(**{field.name: getattr(result, field.name) for field in dataclasses.fields(FloorOutcome)})


def arrangements() -> list[Arrangement]:
    """Return the arrangements; see ``TransportHooks.framelane_bench``."""
    near, far = (
        ArrangementEnd(address, {"interface": VETH_INTERFACE}, XdpFloor) for address in ("10.73.0.1", "10.73.0.2")
    )
    return [Arrangement("", "veth", (near, far), "raw AF_XDP rings")]
