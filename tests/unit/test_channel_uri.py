"""Channel URIs as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.channel import MAX_URI_LENGTH, ChannelError, ChannelUri, ErrorCode, Media, decode_channel

_PRINTABLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="|")
_VALUES = st.text(_PRINTABLE, min_size=1, max_size=20)
_KEYS = st.text(_PRINTABLE.filter(lambda character: character != "="), min_size=1, max_size=20)


@given(st.sampled_from(Media), st.dictionaries(_KEYS, _VALUES, max_size=8), st.booleans())
def test_every_uri_is_what_its_text_parses_to(media: Media, parameters: dict[str, str], is_spy: bool) -> None:
    uri = ChannelUri(media, tuple(parameters.items()), is_spy)
    assert ChannelUri.parse(str(uri)) == uri


@given(st.text(st.sampled_from("aeronudpipcs-y:?|=k\x00\ud800é"), max_size=40) | st.text())
def test_any_text_is_a_channel_or_an_invalid_channel(text: str) -> None:
    for candidate in (text, f"aeron:udp?{text}", f"aeron-spy:aeron:ipc?a={text}"):
        try:
            uri = ChannelUri.parse(candidate)
        except ChannelError as error:
            assert error.code == ErrorCode.INVALID_CHANNEL
            str(error).encode("utf-8")
        else:
            assert ChannelUri.parse(str(uri)) == uri


def test_builder_writes_keys_with_hyphens_and_values_as_aeron_does() -> None:
    uri = ChannelUri.udp("224.20.30.39:54326", term_length=65536, reliable=False).with_parameters(alias="a=b,c")
    assert str(uri) == "aeron:udp?endpoint=224.20.30.39:54326|term-length=65536|reliable=false|alias=a=b,c"
    assert str(uri.with_parameters(reliable=True).without("alias").without("endpoint")) == (
        "aeron:udp?term-length=65536|reliable=true"
    )
    assert str(ChannelUri.ipc()) == "aeron:ipc"


@pytest.mark.parametrize("value", ["", "a|mtu=64", "line\nbreak"])
def test_builder_refuses_values_that_would_not_parse_back(value: str) -> None:
    with pytest.raises(ChannelError, match=r"not allowed|cannot contain"):
        ChannelUri.ipc(alias=value)


def test_repeated_keys_count_as_in_the_native_driver() -> None:
    uri = ChannelUri.parse("aeron:udp?endpoint=a:1|mtu=1408|ttl=1|endpoint=b:2|mtu=4096|ttl=2")
    assert [uri.get(key) for key in ("endpoint", "mtu", "ttl", "absent")] == ["b:2", "1408", "2", None]


def test_keys_that_begin_like_another_are_other_keys() -> None:
    assert ChannelUri.parse("aeron:ipc?mtuX=64").get("mtu") is None


def test_length_limit_counts_bytes_and_repeats() -> None:
    start = "aeron:ipc?alias="
    fits = start + "a" * (MAX_URI_LENGTH - len(start))
    assert str(ChannelUri.parse(decode_channel(fits.encode()))) == fits
    for text in (fits + "a", fits[:-1] + "é", "aeron:ipc?" + "a=b|" * 1022 + "c=d"):
        with pytest.raises(ChannelError, match=r"^URI length \(\d+\) exceeds max supported length \(4095\): aeron"):
            ChannelUri.parse(text)
        if len(text.encode()) > MAX_URI_LENGTH:
            with pytest.raises(ChannelError, match="exceeds max supported length"):
                decode_channel(text.encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aeron:tcp?a=b", "invalid URI scheme or transport: aeron:tcp?a=b"),
        ("aeron:ipc?=b", "empty key not allowed"),
        ("aeron:ipc?a|b=c", "invalid end of key: a"),
        ("aeron:ipc?a=", "empty value not allowed: a"),
    ],
)
def test_syntax_errors_have_the_texts_of_the_specification(text: str, message: str) -> None:
    with pytest.raises(ChannelError) as raised:
        ChannelUri.parse(text)
    assert (raised.value.code, str(raised.value)) == (ErrorCode.INVALID_CHANNEL, message)


@pytest.mark.parametrize("text", ["aeron:ipc?", "aeron:udp?endpoint=a:1|mtu=64|endpoint=b:2|mtu=96"])
def test_a_channel_is_shown_as_it_was_written(text: str) -> None:
    uri = ChannelUri.parse(text)
    assert str(uri) == text
    assert str(uri.with_parameters(alias="x").without("alias")) != text
