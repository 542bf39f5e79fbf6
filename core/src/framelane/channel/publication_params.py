"""The parameters of a publication: parsed, checked, and compared with those of one to be joined (shm 9.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.flow_control import FlowControl, flow_control_of
from framelane.channel.start_position import FRAME_ALIGNMENT, StartPosition
from framelane.channel.udp_params import ControlMode, UdpParams, parse_tags
from framelane.channel.unsupported import Role, check_supported
from framelane.channel.untethered import UntetheredTimeouts, untethered_timeouts_of
from framelane.channel.uri import ChannelUri, Media
from framelane.channel.values import bool_of, duration_of, int32_of, int64_of, parse_integer, size_of, unparsable

__all__ = ["ExistingPublication", "FindTagged", "PublicationDefaults", "PublicationParams"]

_HEADER_LENGTH = 32
_MAX_UDP_PAYLOAD_LENGTH = 65504
_TERM_LENGTH_MIN = 64 * 1024
_TERM_LENGTH_MAX = 1024 * 1024 * 1024
_MAX_RESEND = 256

_TAG_PREFIX = "tag:"
NO_CORRELATION_ID = -1


@dataclass(frozen=True)
class PublicationDefaults:
    """The driver's settings for publications of one media; lengths in bytes.

    :ivar publication_window_length: 0: half a term.
    """

    mtu_length: int = 1408
    term_length: int = 16 * 1024 * 1024
    publication_window_length: int = 0
    linger_timeout_ns: int = 5_000_000_000
    is_sparse: bool = True
    spies_simulate_connection: bool = False
    max_resend: int = 16
    unicast_retransmit_window_multiple: int = 16
    flow_control: FlowControl = field(default_factory=FlowControl)
    untethered: UntetheredTimeouts = field(default_factory=UntetheredTimeouts)


class ExistingPublication(Protocol):
    """What is in force for a publication that others may join or name by its entity tag."""

    @property
    def session_id(self) -> int: ...
    @property
    def mtu_length(self) -> int: ...
    @property
    def term_length(self) -> int: ...
    @property
    def start(self) -> StartPosition:
        """Where it started: as its channel said, else its initial term id twice and 0."""
        ...

    @property
    def spies_simulate_connection(self) -> bool: ...


#: Finds the UDP publication with an entity tag.
FindTagged = Callable[[int], ExistingPublication | None]


@dataclass(frozen=True)
class PublicationParams:
    """What a channel asks for a publication, defaults filled in.

    :ivar udp: ``None`` for IPC.
    :ivar session_id: ``None``: the driver chooses.
    :ivar has_mtu_length: the channel gave it, by itself or through ``session-id=tag:``; so for ``has_term_length``.
    :ivar start: ``None``: position 0 of a random initial term id.
    :ivar publication_window_length: in force, bytes.
    :ivar response_correlation_id: of the response subscription, for a request; of the request's image, for a response;
        -1: neither.
    :ivar is_prototype: a response to nothing yet: it only makes its endpoint.
    """

    uri: ChannelUri
    udp: UdpParams | None
    session_id: int | None
    entity_tag: int | None
    mtu_length: int
    has_mtu_length: bool
    term_length: int
    has_term_length: bool
    start: StartPosition | None
    publication_window_length: int
    linger_timeout_ns: int
    signals_eos: bool
    is_sparse: bool
    spies_simulate_connection: bool
    flow_control: FlowControl
    max_resend: int
    unicast_retransmit_window_multiple: int
    untethered: UntetheredTimeouts
    response_correlation_id: int
    is_prototype: bool

    @property
    def is_response(self) -> bool:
        """Whether it responds to an image and sends to that image's publisher alone (wire 3.10)."""
        return self.udp is not None and self.udp.control_mode is ControlMode.RESPONSE

    @property
    def wants_response(self) -> bool:
        """Whether it is a request, which asks its receiver for a response publication."""
        return not self.is_response and self.response_correlation_id != NO_CORRELATION_ID

    @classmethod
    def parse(cls, uri: ChannelUri, defaults: PublicationDefaults, find_tagged: FindTagged) -> Self:
        """Check all parameters. Looks no names up.

        :param defaults: of the channel's media.
        :raises ChannelError: INVALID_CHANNEL, GENERIC_ERROR or NOT_SUPPORTED.
        """
        if uri.is_spy:
            raise ChannelError(ErrorCode.INVALID_CHANNEL, f"Aeron spies are invalid as send destinations: {uri}")
        is_udp = uri.media is Media.UDP
        udp = UdpParams.parse(uri) if is_udp else None
        if udp:
            udp.check_publication()
        session_id, tagged = _session_of(uri, find_tagged)
        given_mtu_length = tagged.mtu_length if tagged else size_of(uri, "mtu")
        given_term_length = tagged.term_length if tagged else size_of(uri, "term-length")
        mtu_length = _check_mtu(defaults.mtu_length if given_mtu_length is None else given_mtu_length)
        term_length = _check_term_length(defaults.term_length if given_term_length is None else given_term_length)
        response_correlation_id, is_prototype = _response_of(uri)
        if is_prototype:
            term_length = _TERM_LENGTH_MIN
        linger_timeout_ns = duration_of(uri, "linger")
        bool_of(uri, "ats", False)
        spies_simulate_connection = bool_of(uri, "ssc", defaults.spies_simulate_connection)
        check_supported(uri, Role.of(uri, is_publication=True))
        return cls(
            uri=uri,
            udp=udp,
            session_id=session_id,
            entity_tag=parse_tags(uri).entity,
            mtu_length=mtu_length,
            has_mtu_length=given_mtu_length is not None,
            term_length=term_length,
            has_term_length=given_term_length is not None,
            start=StartPosition.parse(uri, term_length),
            publication_window_length=_window_of(uri, mtu_length, term_length, defaults),
            linger_timeout_ns=defaults.linger_timeout_ns if linger_timeout_ns is None else linger_timeout_ns,
            signals_eos=bool_of(uri, "eos", True),
            is_sparse=bool_of(uri, "sparse", defaults.is_sparse),
            spies_simulate_connection=spies_simulate_connection,
            flow_control=flow_control_of(uri, defaults.flow_control) if is_udp else defaults.flow_control,
            max_resend=_max_resend_of(uri, defaults),
            unicast_retransmit_window_multiple=defaults.unicast_retransmit_window_multiple,
            untethered=untethered_timeouts_of(uri, defaults.untethered),
            response_correlation_id=response_correlation_id,
            is_prototype=is_prototype,
        )

    def retransmit_slots(self, has_group_semantics: bool) -> int:
        """Return how many retransmits may be under way at once (wire 3.7)."""
        return self.max_resend if has_group_semantics else 1

    def retransmit_window_multiple(self, has_group_semantics: bool) -> int:
        """Return how many windows one NAK may ask for (wire 3.7)."""
        if not has_group_semantics:
            return self.unicast_retransmit_window_multiple
        return self.flow_control.retransmit_window_multiple

    def check_send_buffer(self, granted: int) -> None:
        """Check that a datagram fits the socket's send buffer.

        :param granted: bytes; 0 where there is no such thing.
        :raises ChannelError: GENERIC_ERROR.
        """
        if granted and self.mtu_length > granted:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"mtuLength={self.mtu_length} > SO_SNDBUF={granted}, give a larger so-sndbuf: {self.uri}",
            )

    def check_matches(self, existing: ExistingPublication) -> None:
        """Check that what the channel gives is in force for the publication that it would join (shm 9.3).

        :raises ChannelError: GENERIC_ERROR with the first difference.
        """
        start = self.start
        for key, requested, in_force in (
            ("session-id", self.session_id, existing.session_id),
            ("mtu", self.mtu_length if self.has_mtu_length else None, existing.mtu_length),
            ("term-length", self.term_length if self.has_term_length else None, existing.term_length),
            ("init-term-id", start and start.initial_term_id, existing.start.initial_term_id),
            ("term-id", start and start.term_id, existing.start.term_id),
            ("term-offset", start and start.term_offset, existing.start.term_offset),
        ):
            if requested not in (None, in_force):
                raise ChannelError(
                    ErrorCode.GENERIC_ERROR,
                    f"existing publication has different '{key}': existing={in_force} requested={requested}",
                )
        if self.udp and self.spies_simulate_connection != existing.spies_simulate_connection:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                "existing publication has different spies simulate connection: "
                f"requested={str(self.spies_simulate_connection).lower()}",
            )


def _session_of(uri: ChannelUri, find_tagged: FindTagged) -> tuple[int | None, ExistingPublication | None]:
    value = uri.get("session-id")
    if value is None or not value.startswith(_TAG_PREFIX):
        return int32_of(uri, "session-id"), None
    tag = parse_integer(value.removeprefix(_TAG_PREFIX), 63)
    if tag is None:
        raise unparsable("session-id", value)
    tagged = find_tagged(tag)
    if tagged is None:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"session-id={value} must reference a network publication")
    return tagged.session_id, tagged


def _response_of(uri: ChannelUri) -> tuple[int, bool]:
    value = uri.get("response-correlation-id")
    if value == "prototype":
        return NO_CORRELATION_ID, True
    correlation_id = int64_of(uri, "response-correlation-id")
    if correlation_id is not None and correlation_id < NO_CORRELATION_ID:
        raise unparsable("response-correlation-id", str(value))
    return NO_CORRELATION_ID if correlation_id is None else correlation_id, False


def _check_mtu(mtu_length: int) -> int:
    if not _HEADER_LENGTH < mtu_length <= _MAX_UDP_PAYLOAD_LENGTH:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR,
            f"mtuLength must be a > HEADER_LENGTH and <= MAX_UDP_PAYLOAD_LENGTH: mtuLength={mtu_length}",
        )
    if mtu_length % FRAME_ALIGNMENT:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR, f"mtuLength must be a multiple of FRAME_ALIGNMENT: mtuLength={mtu_length}"
        )
    return mtu_length


def _check_term_length(term_length: int) -> int:
    if term_length < _TERM_LENGTH_MIN:
        problem = f"term length less than min length of {_TERM_LENGTH_MIN}"
    elif term_length > _TERM_LENGTH_MAX:
        problem = f"term length greater than max length of {_TERM_LENGTH_MAX}"
    elif term_length & (term_length - 1):
        problem = "term length not a power of 2"
    else:
        return term_length
    raise ChannelError(ErrorCode.GENERIC_ERROR, f"{problem}: length={term_length}")


def _window_of(uri: ChannelUri, mtu_length: int, term_length: int, defaults: PublicationDefaults) -> int:
    window = size_of(uri, "pub-wnd")
    if window is None:
        return min(defaults.publication_window_length or term_length // 2, term_length // 2)
    if window < mtu_length:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"pub-wnd={window} cannot be less than the mtu={mtu_length}")
    if window > term_length // 2:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR, f"pub-wnd={window} must not exceed half the term-length={term_length}"
        )
    return window


def _max_resend_of(uri: ChannelUri, defaults: PublicationDefaults) -> int:
    max_resend = int64_of(uri, "max-resend")
    if max_resend is None:
        return defaults.max_resend
    if not 0 < max_resend <= _MAX_RESEND:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR, f"invalid max-resend={max_resend}, must be > 0 and <= {_MAX_RESEND}"
        )
    return max_resend
