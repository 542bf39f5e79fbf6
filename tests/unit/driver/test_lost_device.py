"""A lost device under a driver with threads, where what is slow goes on beside the rest."""

from __future__ import annotations

import threading

from framelane.driver.media_driver import MediaDriver, Surroundings
from framelane.driver.settings import load_settings
from framelane.driver.verdicts import read_verdicts
from framelane.protocol.commands import AddSubscription
from framelane.protocol.events import SubscriptionReady
from framelane.testing.simulation import CommandClient, RealDriver
from framelane.transport.native import open_transport
from framelane_sockets import plugin as sockets
from support.devices import Devices


def test_a_transport_that_two_endpoints_wait_for_is_opened_once(tmp_path, port, monkeypatch):
    gate, is_opening = threading.Event(), threading.Event()

    def open_sockets():
        return open_transport(sockets.framelane_transport())

    def open_slowly():
        is_opening.set()
        gate.wait(20)
        return open_sockets()

    devices = Devices({"first": open_sockets, "second": open_slowly})
    settings = load_settings(
        environ={},
        overrides=[
            f"driver.dir={tmp_path / 'aeron'}",
            "driver.threading_mode=SHARED",
            "driver.counters_buffer_length=1m",
            "driver.perform_storage_checks=false",
        ],
    )
    with MediaDriver.launch(settings, surroundings=Surroundings(transports=devices)) as driver:
        client = CommandClient(RealDriver(driver.directory))
        uses, use = [], driver.nouns.transports._use
        monkeypatch.setattr(driver.nouns.transports, "_use", lambda name: uses.append(name) or use(name))

        def subscribe(stream_id):
            channel = f"aeron:udp?endpoint=127.0.0.1:{port + stream_id}"
            return client.send(AddSubscription, registration_correlation_id=-1, stream_id=stream_id, channel=channel)

        subscribe(0)
        client.wait(SubscriptionReady)
        devices.lose("first")
        assert is_opening.wait(20)
        second = subscribe(1)
        client.world.run_until(lambda: uses.count("second") == 2, "both wait for it")
        gate.set()
        client.wait(SubscriptionReady, lambda ready: ready.correlation_id == second)

        client.world.run_until(
            lambda: [one.transport for one in read_verdicts(client.counters)] == ["second", "second"], "fail-over"
        )
        assert devices.openings.count("second") == 1
        client.detach()
