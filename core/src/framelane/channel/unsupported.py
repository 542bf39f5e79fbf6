"""What this release does not serve yet. Whoever adds a feature deletes its lines from the table."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri, Media

__all__ = ["REFUSALS", "Refusal", "Role", "check_supported"]


class Role(enum.Flag):
    """What a channel is asked for."""

    UDP_PUBLICATION = enum.auto()
    UDP_SUBSCRIPTION = enum.auto()
    IPC_PUBLICATION = enum.auto()
    IPC_SUBSCRIPTION = enum.auto()
    PUBLICATION = UDP_PUBLICATION | IPC_PUBLICATION
    SUBSCRIPTION = UDP_SUBSCRIPTION | IPC_SUBSCRIPTION
    UDP = UDP_PUBLICATION | UDP_SUBSCRIPTION
    ANY = PUBLICATION | SUBSCRIPTION

    @classmethod
    def of(cls, uri: ChannelUri, is_publication: bool) -> Role:
        """Return the role of a channel in a command."""
        if uri.media is Media.UDP:
            return cls.UDP_PUBLICATION if is_publication else cls.UDP_SUBSCRIPTION
        return cls.IPC_PUBLICATION if is_publication else cls.IPC_SUBSCRIPTION


@dataclass(frozen=True)
class Refusal:
    """A parameter that asks for something that is not there.

    :ivar roles: where it has a meaning; elsewhere it is ignored, as by the stock drivers.
    :ivar refuses: which of its well-formed values ask for the feature.
    """

    key: str
    roles: Role
    feature: str
    refuses: Callable[[str], bool] = lambda _: True


def _is(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


REFUSALS = (Refusal("ats", Role.UDP, "the encrypted transport", _is("true")),)


def check_supported(uri: ChannelUri, role: Role) -> None:
    """Refuse a channel that asks for something which this release does not serve.

    :raises ChannelError: NOT_SUPPORTED, naming the parameter.
    """
    for refusal in REFUSALS:
        value = uri.get(refusal.key)
        if value is not None and role in refusal.roles and refusal.refuses(value):
            raise ChannelError(
                ErrorCode.NOT_SUPPORTED,
                f"{refusal.key}={value} ({refusal.feature}) is not supported by this release: {uri}",
            )
