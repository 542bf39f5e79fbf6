"""Tools for those who write transports: stations that call a transport as the driver does, and the conformance kit.

Needs pytest: ``pip install framelane[testing]``.
"""

from framelane.testing.conformance import BaseTransportConformance, Family, TransportPair
from framelane.testing.far_end import RemoteStation
from framelane.testing.station import Datagram, Endpoint, Run, RunResult, Station, wait_for

__all__ = [
    "BaseTransportConformance",
    "Datagram",
    "Endpoint",
    "Family",
    "RemoteStation",
    "Run",
    "RunResult",
    "Station",
    "TransportPair",
    "wait_for",
]
