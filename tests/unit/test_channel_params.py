"""Parameters of publications and subscriptions."""

from dataclasses import dataclass, field

import pytest

from framelane.channel import (
    ChannelError,
    ChannelUri,
    ErrorCode,
    FlowControl,
    Group,
    PublicationDefaults,
    PublicationParams,
    StartPosition,
    SubscriptionDefaults,
    SubscriptionParams,
    UntetheredTimeouts,
    check_receive_destination,
    check_send_destination,
)
from framelane.channel.timestamps import TimestampOffsets

UDP = "aeron:udp?endpoint=127.0.0.1:40123|"


@dataclass(frozen=True)
class Existing:
    session_id: int = 7
    mtu_length: int = 1408
    term_length: int = 65536
    start: StartPosition = field(default_factory=lambda: StartPosition(3, 5, 64))
    spies_simulate_connection: bool = False


def publication(text: str, defaults: PublicationDefaults | None = None, tagged: int | None = None) -> PublicationParams:
    return PublicationParams.parse(
        ChannelUri.parse(text), defaults or PublicationDefaults(), lambda tag: Existing() if tag == tagged else None
    )


def subscription(text: str, defaults: SubscriptionDefaults | None = None) -> SubscriptionParams:
    return SubscriptionParams.parse(ChannelUri.parse(text), defaults or SubscriptionDefaults())


def refusal(text: str) -> tuple[ErrorCode, str]:
    with pytest.raises(ChannelError) as raised:
        publication(text)
    return raised.value.code, str(raised.value)


def test_defaults_fill_in_what_a_publication_does_not_give() -> None:
    defaults = PublicationDefaults(
        mtu_length=4096, term_length=131072, linger_timeout_ns=9, is_sparse=False, max_resend=3
    )
    params = publication("aeron:ipc", defaults)
    assert (params.mtu_length, params.term_length, params.linger_timeout_ns) == (4096, 131072, 9)
    assert (params.is_sparse, params.max_resend, params.signals_eos, params.udp) == (False, 3, True, None)
    assert (params.session_id, params.start, params.publication_window_length) == (None, None, 65536)
    assert params.untethered == UntetheredTimeouts(5_000_000_000, 5_000_000_000, 10_000_000_000)


def test_given_parameters_win_over_defaults() -> None:
    params = publication(
        UDP + "mtu=8k|term-length=1G|session-id=-0x10|linger=1500US|sparse=false|eos=false|max-resend=256|pub-wnd=16m"
        "|untethered-window-limit-timeout=7|untethered-resting-timeout=99999999999s|tags=1,-2|fc=max,rrwm:8|nobody=knows"
    )
    assert (params.mtu_length, params.term_length, params.session_id) == (8192, 2**30, -16)
    assert (params.linger_timeout_ns, params.publication_window_length) == (1_500_000, 16 * 2**20)
    assert (params.is_sparse, params.signals_eos, params.max_resend, params.entity_tag) == (False, False, 256, -2)
    assert params.untethered == UntetheredTimeouts(7, 7, 2**63 - 1)
    assert params.flow_control == FlowControl("max", 8)
    assert params.uri.get("nobody") == "knows"


def test_a_default_window_never_exceeds_half_a_term() -> None:
    defaults = PublicationDefaults(publication_window_length=1 << 20)
    assert publication(UDP + "term-length=64k", defaults).publication_window_length == 32768
    assert publication(UDP + "term-length=4m", defaults).publication_window_length == 1 << 20


def test_retransmits_are_pooled_for_groups_only() -> None:
    params = publication(UDP + "fc=max,rrwm:8|max-resend=20")
    assert (params.retransmit_slots(True), params.retransmit_window_multiple(True)) == (20, 8)
    assert (params.retransmit_slots(False), params.retransmit_window_multiple(False)) == (1, 16)
    assert publication(UDP + "fc=max").retransmit_window_multiple(True) == 4


def test_start_position_counts_terms_across_the_sign_change() -> None:
    start = publication("aeron:ipc?init-term-id=2147483647|term-id=-2147483648|term-offset=128|term-length=64k").start
    assert start == StartPosition(2**31 - 1, -(2**31), 128)
    assert start.position(65536) == 65536 + 128


def test_start_at_the_end_of_a_term_is_the_next_terms_begin() -> None:
    start = publication("aeron:ipc?init-term-id=1|term-id=1|term-offset=65536|term-length=64k").start
    assert start is not None
    assert start.position(65536) == 65536


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("term-length=65535", "term length less than min length of 65536: length=65535"),
        ("term-length=2g", "term length greater than max length of 1073741824: length=2147483648"),
        ("term-length=65568", "term length not a power of 2: length=65568"),
        ("mtu=32", "mtuLength must be a > HEADER_LENGTH and <= MAX_UDP_PAYLOAD_LENGTH: mtuLength=32"),
        ("mtu=65505", "mtuLength must be a > HEADER_LENGTH and <= MAX_UDP_PAYLOAD_LENGTH: mtuLength=65505"),
        ("mtu=1400", "mtuLength must be a multiple of FRAME_ALIGNMENT: mtuLength=1400"),
        ("pub-wnd=1407", "pub-wnd=1407 cannot be less than the mtu=1408"),
        ("term-length=64k|pub-wnd=33k", "pub-wnd=33792 must not exceed half the term-length=65536"),
        ("term-id=1|term-offset=0", "params: init-term-id term-id term-offset must be used as a complete set"),
        ("term-length=64k|init-term-id=0|term-id=0|term-offset=65568", "Param term-offset=65568 > term-length=65536"),
        ("init-term-id=0|term-id=0|term-offset=8", "Param term-offset=8 must be multiple of FRAME_ALIGNMENT"),
        ("max-resend=0", "invalid max-resend=0, must be > 0 and <= 256"),
        ("linger=5m", "could not parse linger=5m in URI"),
        ("session-id=tag:9", "session-id=tag:9 must reference a network publication"),
    ],
)
def test_publication_errors_have_the_texts_of_the_specification(parameters: str, message: str) -> None:
    assert refusal(UDP + parameters) == (ErrorCode.GENERIC_ERROR, message)
    assert refusal("aeron:ipc?" + parameters) == (ErrorCode.GENERIC_ERROR, message)


def test_a_term_id_before_the_initial_one_is_refused() -> None:
    code, message = refusal("aeron:ipc?init-term-id=1|term-id=0|term-offset=0")
    assert code == ErrorCode.GENERIC_ERROR
    assert message.startswith("Param difference greater than 2^31 - 1: ")


def test_a_tagged_session_brings_its_mtu_and_term_length() -> None:
    params = publication("aeron:ipc?session-id=tag:12|mtu=64|term-length=1g", tagged=12)
    assert (params.session_id, params.mtu_length, params.term_length) == (7, 1408, 65536)
    assert (params.has_mtu_length, params.has_term_length) == (True, True)


def test_joining_compares_only_what_is_given() -> None:
    publication(UDP + "linger=1|sparse=false|eos=false").check_matches(Existing(mtu_length=64, session_id=1))
    publication(UDP + "session-id=7|mtu=1408|term-length=64k|init-term-id=3|term-id=5|term-offset=64").check_matches(
        Existing()
    )


def test_joining_names_the_first_difference_in_order() -> None:
    wrong = {
        "session-id": (8, 7),
        "mtu": (4096, 1408),
        "term-length": (131072, 65536),
        "init-term-id": (4, 3),
        "term-id": (6, 5),
        "term-offset": (96, 64),
    }
    given = {key: requested for key, (requested, _) in wrong.items()}
    for key, (requested, in_force) in wrong.items():
        with pytest.raises(ChannelError) as raised:
            publication(UDP + "|".join(f"{name}={value}" for name, value in given.items())).check_matches(Existing())
        assert str(raised.value) == (
            f"existing publication has different '{key}': existing={in_force} requested={requested}"
        )
        given[key] = in_force


def test_joining_compares_ssc_for_udp() -> None:
    existing = Existing(spies_simulate_connection=True)
    publication("aeron:ipc?ssc=false").check_matches(existing)
    with pytest.raises(ChannelError, match=r"different spies simulate connection: requested=false$"):
        publication(UDP + "ssc=false").check_matches(existing)


def test_mtu_and_window_must_fit_the_buffers_granted() -> None:
    publication(UDP + "mtu=1408").check_send_buffer(1408)
    publication(UDP + "mtu=1408").check_send_buffer(0)
    with pytest.raises(ChannelError, match="so-sndbuf"):
        publication(UDP + "mtu=1440").check_send_buffer(1408)
    subscription(UDP + "rcv-wnd=64k").check_receive_buffer(65536)
    with pytest.raises(ChannelError, match="so-rcvbuf"):
        subscription(UDP + "rcv-wnd=64k").check_receive_buffer(65535)


def test_subscription_parameters_win_over_defaults() -> None:
    params = subscription(
        UDP + "session-id=010|reliable=false|rejoin=false|sparse=false|group=true|rcv-wnd=64k|cc=static|nak-delay=2ms"
        "|gtag=-9223372036854775808|tether=true|transport=xdp"
    )
    assert (params.session_id, params.is_reliable, params.is_rejoin, params.is_sparse) == (8, False, False, False)
    assert (params.group, params.receiver_window_length, params.nak_delay_ns) == (Group.TRUE, 65536, 2_000_000)
    assert (params.group_tag, params.congestion_control) == (-(2**63), "static")
    assert params.udp is not None
    assert params.udp.transport == "xdp"


def test_defaults_fill_in_what_a_subscription_does_not_give() -> None:
    defaults = SubscriptionDefaults(
        is_reliable=False, group=Group.FALSE, receiver_window_length=4096, group_tag=5, is_rejoin=False
    )
    params = subscription("aeron:ipc", defaults)
    assert (params.is_reliable, params.group, params.receiver_window_length) == (False, Group.FALSE, 4096)
    assert (params.group_tag, params.is_rejoin, params.session_id, params.nak_delay_ns) == (5, False, None, None)
    assert subscription("aeron:ipc?group=whatever").group is Group.FALSE


@pytest.mark.parametrize("option", ["reliable", "rejoin"])
def test_subscriptions_that_share_images_must_agree(option: str) -> None:
    existing = subscription(UDP + f"{option}=true")
    subscription(UDP + "rcv-wnd=64k").check_conflicts(existing)
    with pytest.raises(ChannelError) as raised:
        subscription(UDP + f"{option}=false").check_conflicts(existing)
    assert raised.value.code == ErrorCode.GENERIC_ERROR
    assert str(raised.value) == (
        f"option conflicts with existing subscription: {option}=false "
        f"existingChannel={UDP}{option}=true channel={UDP}{option}=false"
    )


@pytest.mark.parametrize(
    "parameter",
    ["ats=true"],
)
def test_what_this_release_lacks_is_refused_by_name_for_publications(parameter: str) -> None:
    code, message = refusal(UDP + parameter)
    assert code == ErrorCode.NOT_SUPPORTED
    assert message.startswith(parameter)
    assert "not supported by this release" in message


@pytest.mark.parametrize(
    "parameter",
    ["ats=true"],
)
def test_what_this_release_lacks_is_refused_by_name_for_subscriptions(parameter: str) -> None:
    with pytest.raises(ChannelError, match=f"^{parameter} .*not supported by this release") as raised:
        subscription(UDP + parameter)
    assert raised.value.code == ErrorCode.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("min", FlowControl("min", group_tag=7, group_min_size=1)),
        ("min,g:/3", FlowControl("min", group_tag=7, group_min_size=3)),
        ("min,t:10s", FlowControl("min", receiver_timeout_ns=10**10, group_tag=7, group_min_size=1)),
        ("tagged,g:-5", FlowControl("tagged", group_tag=-5, group_min_size=1)),
        ("tagged,g:1001/2,t:1s,rrwm:9", FlowControl("tagged", 9, 10**9, 1001, 2)),
    ],
)
def test_flow_control_takes_what_it_does_not_say_from_the_driver(value: str, expected: FlowControl) -> None:
    defaults = PublicationDefaults(flow_control=FlowControl(group_tag=7, group_min_size=1))
    assert publication(UDP + f"fc={value}", defaults).flow_control == expected


@pytest.mark.parametrize(
    "value", ["min,g:", "min,g:x", "min,g:/-1", "tagged,g:1/2/3", "min,t:soon", "max,g:/2", "min,"]
)
def test_flow_control_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ChannelError, match="could not parse fc="):
        publication(UDP + f"fc={value}")


def test_one_channel_text_serves_both_sides_where_a_parameter_means_nothing() -> None:
    publication(UDP + "tether=false|cc=cubic|media-rcv-ts-offset=reserved")
    subscription(UDP + "fc=min|ssc=true|channel-snd-ts-offset=0|response-correlation-id=3")
    publication("aeron:ipc?fc=min|response-correlation-id=-1|channel-snd-ts-offset=text")


def test_timestamps_go_behind_the_header_or_into_its_reserved_value() -> None:
    udp = subscription(
        UDP + "media-rcv-ts-offset=reserved|channel-rcv-ts-offset=0x10|channel-snd-ts-offset=2147483647"
    ).udp
    assert udp is not None
    places = udp.timestamps
    assert (places.media_receive_at, places.channel_receive_at, places.channel_send_at) == (24, 48, 2**31 + 31)


def test_timestamps_at_offsets_that_mean_nothing_go_nowhere() -> None:
    udp = publication(UDP + "media-rcv-ts-offset=-1|channel-rcv-ts-offset=0|channel-snd-ts-offset=-20").udp
    assert udp is not None
    assert udp.timestamps == TimestampOffsets(None, 0, -20)
    assert (udp.timestamps.media_receive_at, udp.timestamps.channel_send_at) == (0, 0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("aeron-spy:" + UDP + "alias=d", ErrorCode.INVALID_CHANNEL),
        ("aeron:ipc", ErrorCode.GENERIC_ERROR),
        ("aeron:udp?control=a:1", ErrorCode.GENERIC_ERROR),
        ("aeron:udp?endpoint=a:0", ErrorCode.GENERIC_ERROR),
        (UDP + "mtu=1408", ErrorCode.INVALID_CHANNEL),
        (UDP + "control-mode=response", ErrorCode.INVALID_CHANNEL),
    ],
)
def test_destinations_are_refused_with_the_code_of_what_is_wrong(text: str, code: ErrorCode) -> None:
    with pytest.raises(ChannelError) as raised:
        check_send_destination(ChannelUri.parse(text))
    assert raised.value.code == code


def test_receive_destinations_may_be_spies_but_not_carry_socket_keys() -> None:
    check_receive_destination(ChannelUri.parse("aeron-spy:" + UDP + "mtu=64"))
    check_receive_destination(ChannelUri.parse("aeron:ipc?mtu=64"))
    with pytest.raises(ChannelError, match=r"^destinations must not contain the key: so-rcvbuf channel="):
        check_receive_destination(ChannelUri.parse(UDP + "so-rcvbuf=64k"))
