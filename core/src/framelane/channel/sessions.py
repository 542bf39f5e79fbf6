"""The choice of session ids (shm 9.3)."""

from __future__ import annotations

from collections.abc import Collection

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.errors import ConfigError

__all__ = ["SessionIds", "check_session_id"]

_INT32 = range(-(2**31), 2**31)


class SessionIds:
    """Hands out session ids. Control thread only.

    :param start: the first candidate; random in a driver.
    :param reserved_low: first id that is never handed out.
    :param reserved_high: last id that is never handed out.
    :raises ConfigError: if the reserved range is none, or leaves nothing.
    """

    def __init__(self, start: int, reserved_low: int = -1, reserved_high: int = 1000) -> None:
        if reserved_low not in _INT32 or reserved_high not in _INT32 or reserved_low > reserved_high:
            raise ConfigError(
                f"reserved session ids {reserved_low} to {reserved_high} are no range of 32-bit numbers; "
                "set publication_reserved_session_id_low and _high"
            )
        self._reserved = range(reserved_low, reserved_high + 1)
        if len(self._reserved) == len(_INT32):
            raise ConfigError("all session ids are reserved; set publication_reserved_session_id_low and _high")
        self._next = _wrap(start)

    def choose(self, live: Collection[int]) -> int:
        """Return a session id that is free; it is not handed out again before all others were.

        :param live: ids that it must not clash with. For a new publication those of the same stream, and for UDP of the
            same endpoint; for GET_NEXT_AVAILABLE_SESSION_ID those of all publications with the stream id.
        """
        session_id = self._candidate()
        while session_id in live:
            session_id = self._candidate()
        return session_id

    def _candidate(self) -> int:
        if self._next in self._reserved:
            self._next = _wrap(self._reserved.stop)
        candidate = self._next
        self._next = _wrap(candidate + 1)
        return candidate


def check_session_id(session_id: int, live: Collection[int], stream_id: int, channel: str) -> None:
    """Check a session id that a channel gives.

    :param live: as for :meth:`SessionIds.choose`; IPC: in state ACTIVE or DRAINING, UDP: in any state but DONE.
    :raises ChannelError: INVALID_CHANNEL.
    """
    if session_id in live:
        raise ChannelError(
            ErrorCode.INVALID_CHANNEL,
            f"existing publication has clashing sessionId={session_id} for streamId={stream_id} channel={channel}",
        )


def _wrap(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31
