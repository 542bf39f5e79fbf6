"""What a driver shows of a DPDK port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dpdk_port import SMALL
from framelane_dpdk._native import ffi, lib

from framelane.driver.clock import Clock
from framelane.shm.figure_types import figure_type
from framelane.transport.native import OpenTransport, open_transport
from framelane.transport.registry import discover
from framelane_dpdk.settings import DpdkSettings


@pytest.fixture
def transport() -> Iterator[OpenTransport]:
    """A port with its netstack, as a driver opens it."""
    settings = DpdkSettings(vdev="net_null", addresses=["10.1.0.5/24"], **SMALL)
    opened = open_transport(discover().plugins["dpdk"].spec, settings, driver_name="test", clock=Clock().native, seed=1)
    yield opened
    opened.close()


def test_the_ports_figures_hide_none_of_the_netstacks(transport: OpenTransport) -> None:
    names = transport.stats()
    assert {"dpdk-tx-error", "dpdk-tx-refused", "dpdk-rx-pkts", "dpdk-rx-frames"} <= set(names)
    assert len(names) == transport.binding.ops.stats(transport.binding.transport, ffi.NULL, 0)


def test_port_and_queues_are_shown_under_the_types_that_aeron_reserves(transport: OpenTransport) -> None:
    port, queue = transport.host.private_counters()
    assert (port.type_id, port.key, port.value) == (75, b"net_null0", 1)
    assert port.label.startswith("dpdk-port: net_null0 ") and port.label.endswith(" mtu 1500 net_null")
    assert (queue.type_id, queue.value) == (76, 1)
    assert queue.label == "dpdk-transport: net_null0 queue 0 rx 128 tx 128"


@pytest.mark.parametrize(
    ("xstat", "label"),
    [
        ("bw_in_allowance_exceeded", "dpdk-xstat-bw-in-allowance-exceeded"),
        ("rx_good_packets", None),
        ("rx_q0_packets", None),
    ],
)
def test_a_figure_of_dpdks_driver_has_the_type_for_such(xstat: str, label: str | None) -> None:
    text = ffi.new("char[56]")
    shown = lib.fl_dpdk_xstat_label(xstat.encode(), text, len(text))
    assert (ffi.string(text).decode() if shown else None) == label
    if label is not None:
        assert figure_type(label) == 92
