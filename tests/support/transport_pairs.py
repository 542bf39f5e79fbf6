"""The ends of a conformance pair of network devices: opened here or in a child, and made to know each other."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from framelane.testing import Family, RemoteStation, Station, TransportPair
from framelane.testing.station import FarEndpoint, Run, wait_for
from framelane.transport.address import Address
from framelane.transport.native import OpenTransport, open_transport

__all__ = ["far_end", "open_far", "open_plugin", "paired", "resolve", "start_far"]

_VARIABLE = "FAR_TRANSPORT"


def open_plugin(name: str, settings: Mapping[str, Any]) -> OpenTransport:
    """Open a transport of the plugin ``framelane_NAME``."""
    spec = importlib.import_module(f"framelane_{name}.plugin").framelane_transport()
    return open_transport(spec, spec.settings(**settings))


def start_far(name: str, settings: Mapping[str, Any], prefix: Sequence[str] = ()) -> RemoteStation:
    """Start a child process whose station is on a transport of the plugin ``framelane_NAME``.

    :param prefix: put before the child's command line.
    """
    described = json.dumps({"name": name, "settings": dict(settings)})
    environment = (f"PYTHONPATH={Path(__file__).parents[1]}", f"{_VARIABLE}={described}")
    return RemoteStation("support.transport_pairs:open_far", ("env", *environment, *prefix))


def open_far() -> OpenTransport:
    """Open what :func:`start_far` described; called in the child."""
    described = json.loads(os.environ[_VARIABLE])
    return open_plugin(described["name"], described["settings"])


@contextmanager
def far_end(name: str, settings: Mapping[str, Any], prefix: Sequence[str] = ()) -> Iterator[RemoteStation]:
    """A child as of :func:`start_far`, for all cases of a class; at the end it is closed, and the near end before."""
    far = start_far(name, settings, prefix)
    try:
        yield far
    finally:
        try:
            if far.near is not None:
                far.near.close()
        finally:
            far.close()


@contextmanager
def paired(
    far: RemoteStation, open_near: Callable[[], OpenTransport], ipv4: Family, ipv6: Family
) -> Iterator[TransportPair]:
    """A pair for one case, of both ends as the case before left them: to open a device takes longer than most cases.

    Both know each other. What a case leaves open is closed; what it closed, or what does not close, is opened again.
    """
    near = far.near
    is_open = near is not None and not near.transport.is_closed
    if near is None or not is_open:
        far.near = near = Station(open_near())
    pair = TransportPair(near=near, far=far, reopen=open_near, ipv4=ipv4, ipv6=ipv6)
    try:
        if not is_open:
            resolve(pair)
        yield pair
        _empty(near)
    except BaseException:
        near.close()
        raise
    finally:
        far.reset()


def _empty(station: Station) -> None:
    """Close all endpoints and drop what is still under way to them."""
    if station.transport.is_closed:
        return
    for endpoint in list(station.endpoints.values()):
        station.close_endpoint(endpoint)
    while station.cycle():
        pass


def resolve(pair: TransportPair) -> None:
    """Let each end find the other, so that the first run of a case is not held up as more than a neighbour may have."""
    for family in pair.families:
        far = pair.far.open(bind=Address.of(family.far))
        near = pair.near.open(bind=Address.of(family.near))

        def arrives(run: Run, sender: FarEndpoint = near, receiver: FarEndpoint = far) -> bool:
            # The near end answers, and hears answers, only while it is polled; the far one does all the time.
            sender.send_all([run])
            pair.near.settle()
            return receiver.receive(1, limit_s=0.01) != []

        wait_for(partial(arrives, Run(b"there", peer=far.local)), "a datagram to the far end")
        wait_for(partial(arrives, Run(b"back", peer=near.local), far, near), "one from it")
        near.close()
        far.close()
