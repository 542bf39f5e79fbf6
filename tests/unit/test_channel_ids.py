"""What the driver chooses for a channel: session ids and ports."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from framelane.channel import Address, ChannelError, ErrorCode, SessionIds, WildcardPorts, check_session_id
from framelane.errors import ConfigError


def any_port(port: int = 0) -> Address:
    return Address(IPv4Address(0), port)


def test_session_ids_follow_each_other_past_live_ones() -> None:
    ids = SessionIds(5000)
    assert [ids.choose({5001, 5002}) for _ in range(3)] == [5000, 5003, 5004]


def test_session_ids_skip_the_reserved_range() -> None:
    assert SessionIds(-1).choose(()) == 1001
    assert SessionIds(1000).choose({1001}) == 1002
    ids = SessionIds(-3)
    assert [ids.choose({-2}) for _ in range(2)] == [-3, 1001]


def test_session_ids_wrap_at_the_ends_of_32_bits() -> None:
    ids = SessionIds(2**31 - 1)
    assert [ids.choose(()) for _ in range(2)] == [2**31 - 1, -(2**31)]
    assert SessionIds(2**31 - 1, reserved_low=0, reserved_high=2**31 - 1).choose(()) == -(2**31)


@pytest.mark.parametrize(("low", "high"), [(5, 4), (-(2**31), 2**31 - 1), (0, 2**31)])
def test_impossible_reserved_ranges_are_configuration_errors(low: int, high: int) -> None:
    with pytest.raises(ConfigError, match="reserved"):
        SessionIds(0, low, high)


def test_explicit_session_ids_clash_with_live_ones() -> None:
    check_session_id(7, {8}, 10, "aeron:ipc")
    with pytest.raises(ChannelError) as raised:
        check_session_id(7, {7}, 10, "aeron:ipc")
    assert raised.value.code == ErrorCode.INVALID_CHANNEL
    assert str(raised.value) == "existing publication has clashing sessionId=7 for streamId=10 channel=aeron:ipc"


def test_without_a_range_the_system_chooses() -> None:
    assert WildcardPorts().take(any_port()) == any_port()


def test_ports_go_round_and_come_back() -> None:
    ports = WildcardPorts(20000, 20002)
    taken = [ports.take(any_port()) for _ in range(3)]
    assert taken == [any_port(20000), any_port(20001), any_port(20002)]
    with pytest.raises(ChannelError, match="20000 to 20002 are in use") as raised:
        ports.take(any_port())
    assert raised.value.code == ErrorCode.GENERIC_ERROR
    ports.give_back(taken[1])
    assert ports.take(any_port()) == any_port(20001)


def test_a_port_given_back_is_not_handed_out_before_the_others() -> None:
    ports = WildcardPorts(20000, 20002)
    ports.give_back(ports.take(any_port()))
    assert ports.take(any_port()) == any_port(20001)


def test_explicit_ports_are_not_handed_out_until_their_last_user_is_gone() -> None:
    ports = WildcardPorts(20000, 20000)
    users = [ports.take(any_port(20000)), ports.take(Address(IPv6Address(0), 20000))]
    for user in users:
        with pytest.raises(ChannelError):
            ports.take(any_port())
        ports.give_back(user)
    assert ports.take(any_port()) == any_port(20000)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (0, 5), (-1, 5), (1, 65536)])
def test_impossible_port_ranges_are_configuration_errors(low: int, high: int) -> None:
    with pytest.raises(ConfigError, match="wildcard port range"):
        WildcardPorts(low, high)
