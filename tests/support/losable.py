"""A transport for tests: sockets whose device can go away and come back under a running driver.

The device is there unless the file that ``LOSABLE_AWAY`` names is; with ``LOSABLE_PRIVILEGED`` only root's group can
open it. :func:`install` makes it a plugin of the processes that find a folder in ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

from framelane._native import ffi, lib
from framelane.errors import TransportError
from framelane.transport import Capabilities, NativeTransport, OpenContext, TransportSpec, hookimpl
from framelane.transport.native import open_transport
from framelane.transport.wrappers import FaultInjector, wrap_faults
from framelane_sockets import plugin as sockets
from framelane_sockets.settings import SocketsSettings

__all__ = ["AWAY", "PRIVILEGED", "framelane_transport", "install"]

AWAY = "LOSABLE_AWAY"
PRIVILEGED = "LOSABLE_PRIVILEGED"
_TEXT = "eth9 was unplugged"


class _Losable:
    def __init__(self, settings: SocketsSettings, context: OpenContext) -> None:
        self._away = Path(os.environ[AWAY])
        if self._away.exists():
            raise TransportError("there is no eth9")
        if os.environ.get(PRIVILEGED) and os.getegid() != 0:
            raise TransportError("open eth9: not allowed") from PermissionError(1, "Operation not permitted")
        self._injector: FaultInjector = wrap_faults(open_transport(sockets.framelane_transport(), settings), seed=1)
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._closed.wait(0.005):
            if self._away.exists():
                self._injector.remove_device(_TEXT)
                return

    @property
    def native(self) -> NativeTransport:
        fault = self._injector._fault
        return NativeTransport(int(ffi.cast("uintptr_t", lib.fl_fault_ops(fault))), int(ffi.cast("uintptr_t", fault)))

    @property
    def capabilities(self) -> Capabilities:
        return self._injector.transport.capabilities

    def close(self) -> None:
        self._closed.set()
        self._injector.transport.close()


@hookimpl
def framelane_transport() -> TransportSpec:
    return replace(sockets.framelane_transport(), name="losable", summary="sockets that can be lost", open=_Losable)


def install(site: Path) -> None:
    """Write what makes this module a plugin where ``site`` is in ``PYTHONPATH``."""
    info = site / "test_losable-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-losable\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[framelane.transports]\nlosable = support.losable\n")
