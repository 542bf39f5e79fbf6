"""Times that real drivers put into messages (wire 6), on sockets; over ef_vi they are in ``test_efvi_drivers``."""

from __future__ import annotations

from pathlib import Path

from support.drivers import start_driver
from support.processes import Processes
from support.stamped_stream import PLACES, check_stamps, exchange_one_by_one


def test_times_of_sending_arrival_and_receipt_are_of_the_clock_where_the_channel_asks_for_them(
    processes: Processes, shared: Path, port: int
) -> None:
    driver = start_driver(processes, shared / "driver")
    for host, places in enumerate(PLACES.values(), 1):
        channel = f"aeron:udp?endpoint=127.0.0.{host}:{port}|{places.parameters}"
        check_stamps(exchange_one_by_one(driver, driver, channel, count=50, clock="software"), places)
    assert not driver.errors()
