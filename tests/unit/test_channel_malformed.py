"""Nothing that a client sends as a channel gets further than a ChannelError."""

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.channel import (
    ChannelError,
    ChannelUri,
    ErrorCode,
    NetworkInterface,
    PublicationDefaults,
    PublicationParams,
    SubscriptionDefaults,
    SubscriptionParams,
    UdpChannel,
    decode_channel,
)
from framelane.channel.addresses import parse_host_port

VECTORS = Path(__file__).parents[1] / "vectors" / "malformed-uris.txt"


class Host:
    """A host with a loopback interface that knows one name."""

    def resolve(self, host: str, parameter: str) -> IPv4Address | IPv6Address:
        if host == "localhost":
            return IPv4Address("127.0.0.1")
        raise ChannelError(ErrorCode.UNKNOWN_HOST, f"unknown host {parameter}={host}")

    def interfaces(self) -> list[NetworkInterface]:
        addresses = (IPv4Interface("127.0.0.1/8"), IPv6Interface("::1/128"))
        return [NetworkInterface("lo", 1, is_loopback=True, is_multicast=False, addresses=addresses)]


def open_channel(data: bytes, role: str) -> UdpChannel | None:
    """Do all that a driver does with a channel before it opens anything."""
    uri = ChannelUri.parse(decode_channel(data))
    params: PublicationParams | SubscriptionParams
    if role == "pub":
        params = PublicationParams.parse(uri, PublicationDefaults(), lambda _: None)
    else:
        params = SubscriptionParams.parse(uri, SubscriptionDefaults())
    return UdpChannel.resolve(params.udp, Host(), Host()) if params.udp else None


def cases() -> list[tuple[int, str, bytes]]:
    found = []
    for line in VECTORS.read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            code, roles, channel = line.split(" ", 2)
            data = channel.encode().decode("unicode_escape").encode("latin-1")
            found += [(int(code), role, data) for role in ("pub", "sub") if roles in (role, "both")]
    return found


def test_the_corpus_has_at_least_a_hundred_channels() -> None:
    assert len({data for _, _, data in cases()}) >= 100


@pytest.mark.parametrize(("code", "role", "data"), cases(), ids=lambda value: str(value)[:60])
def test_malformed_channel_is_answered_with_its_code(code: int, role: str, data: bytes) -> None:
    with pytest.raises(ChannelError) as raised:
        open_channel(data, role)
    assert raised.value.code == code
    assert str(raised.value).isprintable()


_KEYS = [
    "endpoint",
    "interface",
    "control",
    "control-mode",
    "tags",
    "alias",
    "ttl",
    "mtu",
    "term-length",
    "init-term-id",
    "term-id",
    "term-offset",
    "session-id",
    "linger",
    "eos",
    "sparse",
    "ssc",
    "fc",
    "max-resend",
    "pub-wnd",
    "response-correlation-id",
    "reliable",
    "tether",
    "rejoin",
    "group",
    "rcv-wnd",
    "cc",
    "nak-delay",
    "gtag",
    "so-sndbuf",
    "so-rcvbuf",
    "untethered-linger-timeout",
    "ats",
    "transport",
]
_VALUES = st.one_of(
    st.text(st.sampled_from("0123456789abcdefxX:.[]/{}%,-+ kKmMgGnsu"), max_size=24),
    st.text(max_size=8),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["127.0.0.1:1", "224.0.0.255:1", "[ff02::1%lo]:1", "localhost:0", "max,rrwm:", "tag:", "{lo}:1/2"]),
)
_URIS = st.lists(st.tuples(st.sampled_from(_KEYS), _VALUES), max_size=6).map(
    lambda pairs: "aeron:udp?" + "|".join(f"{key}={value}" for key, value in pairs)
)


@given(_URIS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=64))
def test_any_bytes_give_a_channel_or_a_channel_error(data: bytes) -> None:
    for role in ("pub", "sub"):
        try:
            open_channel(data, role)
        except ChannelError as error:
            assert str(error)


@given(st.text(st.sampled_from("[]:%0123456789abcf.x"), max_size=30))
def test_host_and_port_keep_their_text_and_range(text: str) -> None:
    try:
        parsed = parse_host_port(text, "endpoint")
    except ChannelError:
        return
    assert parsed.text == text
    assert 0 <= parsed.port <= 65535
