"""Frame transports: the hook specification that plugins implement, their discovery and their selection."""

from framelane.transport.arrangement import (
    VETH_INTERFACE,
    Arrangement,
    ArrangementEnd,
    Floor,
    FloorJob,
    FloorOutcome,
)
from framelane.transport.findings import Findings
from framelane.transport.native_half import NativeHalf
from framelane.transport.port_settings import PortSettings, RouteSettings
from framelane.transport.spec import (
    ENTRY_POINT_GROUP,
    Capabilities,
    Device,
    Fact,
    Level,
    NativeTransport,
    Obstacle,
    OpenContext,
    Transport,
    TransportHooks,
    TransportSettings,
    TransportSpec,
    Verdict,
    hookimpl,
    hookspec,
)

__all__ = [
    "ENTRY_POINT_GROUP",
    "VETH_INTERFACE",
    "Arrangement",
    "ArrangementEnd",
    "Capabilities",
    "Device",
    "Fact",
    "Findings",
    "Floor",
    "FloorJob",
    "FloorOutcome",
    "Level",
    "NativeHalf",
    "NativeTransport",
    "Obstacle",
    "OpenContext",
    "PortSettings",
    "RouteSettings",
    "Transport",
    "TransportHooks",
    "TransportSettings",
    "TransportSpec",
    "Verdict",
    "hookimpl",
    "hookspec",
]
