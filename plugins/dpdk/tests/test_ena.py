"""What an ENA device asks of the program that has it, shown with a device that takes its place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import pytest
from dpdk_port import Port
from framelane_dpdk._native import ffi, lib

from framelane_dpdk import target as target_module
from framelane_dpdk.pci import PciDevice
from support.native_ops import OpFailedError, set_address
from support.processes import wait_until

PERIODICAL = 1
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


@pytest.fixture
def ena(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every device taken for an ENA one."""
    found = target_module.find_target
    device = PciDevice(
        address="0000:00:06.0",
        vendor=0x1D0F,
        device=0xEC20,
        pci_class=0x020000,
        driver="vfio-pci",
        driver_override=None,
        numa_node=None,
        iommu_group=None,
        is_noiommu_group=False,
        interfaces=(),
        virtual_functions=0,
    )
    monkeypatch.setattr(target_module, "find_target", lambda *given: replace(found(*given), pci=device))


class RetaGroup(ctypes.Structure):
    """``struct rte_eth_rss_reta_entry64``."""

    _fields_ = (("mask", ctypes.c_uint64), ("reta", ctypes.c_uint16 * 64))


def dpdk(name: str) -> ctypes.CDLL:
    """Return a library of the DPDK that is loaded."""
    version = ffi.new("fl_dpdk_version_t *")
    lib.fl_dpdk_version(version)
    return ctypes.CDLL(f"librte_{name}.so.{version.abi_major}")


class Timer:
    """A timer as DPDK's driver of ENA has one: periodical, on the main lcore."""

    def __init__(self) -> None:
        self._timers, self._eal = dpdk("timer"), dpdk("eal")
        self._memory = ctypes.create_string_buffer(256)
        self._callback = CALLBACK(self._tick)
        self.ticks = 0
        self._timers.rte_timer_init(self._memory)
        self._eal.rte_get_tsc_hz.restype = ctypes.c_uint64
        one_hundredth_s = ctypes.c_uint64(self._eal.rte_get_tsc_hz() // 100)
        lcore = self._eal.rte_get_main_lcore()
        code = self._timers.rte_timer_reset(self._memory, one_hundredth_s, PERIODICAL, lcore, self._callback, None)
        assert code == 0

    def _tick(self, _timer: int, _argument: int) -> None:
        self.ticks += 1

    def stop(self) -> None:
        self._timers.rte_timer_stop_sync(self._memory)


@pytest.mark.usefixtures("ena")
def test_the_timers_of_the_devices_driver_run_while_it_is_open(make_port: Callable[..., Port]) -> None:
    port = make_port(vdev="net_null")
    timer = Timer()
    try:
        wait_until(lambda: timer.ticks >= 2, "the watchdog's ticks", 20)
    finally:
        timer.stop()
    assert not port.transport.capabilities.multicast


@pytest.mark.usefixtures("ena")
def test_without_rules_every_entry_of_the_rss_table_leads_to_queue_0(make_port: Callable[..., Port]) -> None:
    port = make_port(vdev="net_null", start_queues=2)
    assert port.attributes.queues == 2
    with pytest.raises(OpFailedError, match="cannot steer to a queue: queue 0 carries everything"):
        address = set_address(ffi, ffi.new("fl_address_t *"), "10.1.0.5", 40123)
        port.check(port.ops.add_filter(port.object, 1, 0xFFFF, address, ffi.NULL))
    ethdev = dpdk("ethdev")
    number = ctypes.c_uint16()
    assert ethdev.rte_eth_dev_get_port_by_name(b"net_null0", ctypes.byref(number)) == 0
    table = (RetaGroup * 2)(RetaGroup(mask=2**64 - 1), RetaGroup(mask=2**64 - 1))
    for group in table:
        group.reta[:] = [1] * 64
    assert ethdev.rte_eth_dev_rss_reta_query(number, table, 128) == 0
    assert {entry for group in table for entry in group.reta} == {0}
