"""The simulated network: hosts in one process, on one clock, for tests of everything above a transport."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from framelane._native import ffi, lib
from framelane.transport.address import Address
from framelane.transport.native import CounterSource, NativeHost, OpenTransport, raise_native
from framelane.transport.spec import Capabilities, NativeTransport

__all__ = ["SimulatedNetwork"]


class SimulatedNetwork:
    """An in-memory network of several hosts in one process on one clock, used by one thread.

    :param clock: ``fl_clock_t *``; a virtual clock, or the system's if none is given.
    :param latency_ns: from a send to when the datagram can be polled.
    """

    def __init__(self, clock: Any = None, latency_ns: int = 0) -> None:
        self.clock = lib.fl_clock_system() if clock is None else clock
        self._pid = os.getpid()
        self._net = lib.fl_simnet_new(self.clock, latency_ns)
        if self._net == ffi.NULL:
            raise_native(-lib.FL_ENOMEM, "simulated network")

    @property
    def native(self) -> Any:
        """``fl_simnet_t *``."""
        return self._net

    def attach(
        self,
        addresses: Sequence[str],
        *,
        seed: int = 0,
        name: str = "simulated",
        counters: CounterSource | None = None,
    ) -> OpenTransport:
        """Attach a host with these addresses, up to eight; loopback addresses are every host's own.

        :raises NativeError: if another host has one of them.
        """
        host = NativeHost(self.clock, seed, counters)
        native_addresses = ffi.new("fl_address_t[]", max(1, len(addresses)))
        for i, address in enumerate(addresses):
            Address.of(address).store(native_addresses[i])
        transport = lib.fl_simnet_attach(self._net, host.table, native_addresses, len(addresses))
        if transport == ffi.NULL:
            host.close()
            raise_native(-lib.FL_EINVAL, "attach")
        native = NativeTransport(int(ffi.cast("uintptr_t", lib.fl_simnet_ops())), int(ffi.cast("uintptr_t", transport)))
        capabilities = Capabilities(
            multicast=True, ipv6=True, queues=0, segmentation_offload=True, loops_back=True, kernel_coexists=False
        )
        return OpenTransport(name, native, capabilities, host)

    def set_latency(self, latency_ns: int) -> None:
        """Change the latency of what is sent from now on; nothing overtakes what was sent before."""
        lib.fl_simnet_set_latency(self._net, latency_ns)

    def next_arrival(self) -> int | None:
        """When the next datagram arrives, in nanoseconds of the clock; ``None`` if none is under way."""
        due = int(lib.fl_simnet_next_arrival(self._net))
        return None if due == 2**63 - 1 else due

    def close(self) -> None:
        """Free the network; after its transports were closed."""
        net, self._net = self._net, ffi.NULL
        if net != ffi.NULL and os.getpid() == self._pid:
            lib.fl_simnet_free(net)
