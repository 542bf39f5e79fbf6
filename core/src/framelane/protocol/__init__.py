"""Messages between clients and driver, and frames between drivers."""

from framelane.protocol.commands import CommandError, CommandType, decode_command
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import EventError, EventType, decode_event

__all__ = [
    "CommandError",
    "CommandType",
    "ErrorCode",
    "EventError",
    "EventType",
    "decode_command",
    "decode_event",
]
