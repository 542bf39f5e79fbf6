"""Settings from every source, with every problem reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pluggy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framelane.driver.idle import IdleStrategy
from framelane.driver.model import KEYS_BY_NAME, REMARKS, default_of, kind_of
from framelane.driver.publication_table import publication_defaults
from framelane.driver.settings import DriverSettings, Property, load_settings, parse_definition, read_property_file
from framelane.driver.unsupported import UNSUPPORTED
from framelane.driver.values import Duration, Size
from framelane.errors import ConfigError
from framelane.transport.registry import Claim, Plugin, Registry
from framelane.transport.spec import Level, TransportSettings, TransportSpec

SPEC = Path(__file__).parents[3] / "docs" / "spec" / "shared-memory.md"
EMPTY = Registry({})


def load(file=None, environ=None, properties=(), overrides=(), registry=EMPTY, **given):
    return load_settings(file, environ or {}, properties, overrides, registry=registry, **given)


def problems(**given):
    with pytest.raises(ConfigError) as caught:
        load(**given)
    return caught.value.problems


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "framelane.toml"
        path.write_text(text)
        return path

    return write


# The stock driver's table.


def specified():
    """Return (environment name, default text) of every row of the specification's table."""
    section = SPEC.read_text().split("### 10.3 Table")[1].split("### 10.4")[0]
    rows = []
    for line in section.splitlines():
        match = re.match(r"\| `(AERON_[^`]+)` \|[^|]*\|([^|]*)\|", line)
        if match is None:
            continue
        names, default = match[1], match[2].strip()
        if names.startswith("AERON_DEBUG_"):
            names = " / ".join(
                f"AERON_DEBUG_{way}_{what}_LOSS_{part}"
                for way in ("RECEIVE", "SEND") for what in ("DATA", "CONTROL") for part in ("RATE", "SEED")
            )  # fmt: skip
        elif "{" in names:
            names = " / ".join(re.sub(r"\{.*\}", kind, names) for kind in ("LOSS", "FIXED_LOSS", "MULTI_GAP_LOSS"))
        first, *others = names.split(" / ")
        stem = first if "_INIT_ARGS" in names else first.rpartition("_")[0]
        rows.append((first, default if not others else ""))
        rows += [(other if other.startswith("AERON") else stem + other, "") for other in others]
    return rows


def test_every_name_of_the_specification_is_a_key():
    names = [name for name, _ in specified()]
    assert len(names) > 110
    assert [name for name in names if name not in KEYS_BY_NAME] == []


def test_defaults_and_kinds_are_those_of_the_specification():
    compared = 0
    for name, text in specified():
        key = KEYS_BY_NAME[name]
        if key in REMARKS:
            continue
        text = text.split(" (")[0]
        sizes = re.fullmatch(r"([0-9]+) ([KM])iB(?: \+ ([0-9]+))?", text)
        if sizes:
            expected = int(sizes[1]) * {"K": 1024, "M": 1024**2}[sizes[2]] + int(sizes[3] or 0)
        elif text == "unset":
            expected = None
        elif text and key != "dir" and (re.fullmatch(r"-?[0-9]+(s|ms|us)?", text) or text in ("true", "false")):
            expected = kind_of(key).parse(text)
        else:
            continue
        assert default_of(key) == expected, name
        compared += 1
    assert compared > 75


def test_the_defaults_pass_their_own_checks_and_differ_from_stock_only_where_remarked():
    settings = load(environ={"USER": "trader"})
    assert str(settings.driver.dir) == "/dev/shm/aeron-trader"
    assert settings.driver.threading_mode == "AUTO"
    assert settings.driver.network_publication_max_messages_per_send is None
    assert settings.driver.driver_timeout == 10_000_000_000
    assert settings.warnings == ()
    assert set(UNSUPPORTED) <= set(DriverSettings.model_fields)


def test_settings_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        load().driver.mtu_length = 4096


# Sources and their order.


def test_later_sources_win_and_each_value_remembers_its_source(toml, tmp_path):
    file = toml('[driver]\nmtu_length = 2048\nterm_buffer_length = "1m"\nsend_run_length = "32k"\nuser = "nobody"\n')
    environ = {"AERON_TERM_BUFFER_LENGTH": "2m", "AERON_TIMER_INTERVAL": "500ms", "FRAMELANE_SEND_RUN_LENGTH": "16k"}
    media = tmp_path / "media.properties"
    media.write_text(
        "# comment\naeron.timer.interval=400ms\naeron.socket.so_rcvbuf: 2m\n\naeron.mtu.\\\n  length = 4096\n"
    )
    properties = [*read_property_file(media), parse_definition("-Daeron.socket.so_rcvbuf=4m")]
    settings = load(file, environ, properties, ["driver.mtu_length=8k"])
    driver = settings.driver
    assert (driver.mtu_length, driver.term_buffer_length, driver.send_run_length) == (8192, 2 << 20, 16384)
    assert (driver.timer_interval, driver.socket_so_rcvbuf, driver.user) == (400_000_000, 4 << 20, "nobody")
    assert settings.source("driver.mtu_length") == "--set driver.mtu_length"
    assert settings.source("driver.user") == f"file {file}"
    assert settings.source("driver.term_buffer_length") == "environment AERON_TERM_BUFFER_LENGTH"
    assert settings.source("driver.timer_interval") == f"property aeron.timer.interval ({media}:2)"
    assert settings.source("driver.socket_so_rcvbuf") == "-Daeron.socket.so_rcvbuf"
    assert settings.source("driver.ipc_mtu_length") == "default"


def test_java_property_names_that_differ_are_taken():
    properties = [
        Property("aeron.name.resolver.threshold", "7s", "-D"),
        Property("aeron.unicast.FlowControl.supplier", "unicast", "-D"),
        Property("aeron.CubicCongestionControl.measureRtt", "false", "-D"),
    ]
    assert load(properties=properties).driver.driver_name_resolver_threshold == 7_000_000_000


def test_the_file_may_be_named_by_the_environment(toml):
    settings = load(environ={"FRAMELANE_CONFIG": str(toml("[driver]\nmtu_length = 4096\n"))})
    assert settings.driver.mtu_length == 4096


def test_names_of_clients_archive_and_cluster_are_left_alone():
    settings = load(
        environ={"AERON_CLIENT_NAME": "x", "AERON_ARCHIVE_DIR": "x"},
        properties=[Property("aeron.cluster.id", "1", "-D"), Property("aeron.client.name", "x", "-D")],
    )
    assert settings.warnings == ()


# Problems.


def test_all_problems_of_all_sources_are_reported_at_once_with_the_nearest_key(toml):
    file = toml('top = 1\n[driver]\nmtu_lenght = 4096\nterm_buffer_length = "big"\n[transport]\nuse = ["efiv"]\n')
    found = problems(
        file=file,
        environ={"AERON_TIMER_INTERVAL": "soon", "AERON_MTU_LENGHT": "1"},
        properties=[Property("aeron.mtu.lenght", "1", "-Daeron.mtu.lenght")],
        overrides=["mtu_length=1", "driver.idle", "driver.nothing_like_it=2"],
        strict=True,
    )
    text = "\n".join(found)
    for expected in (
        "top: unknown key",
        "driver.mtu_lenght: unknown key (file",
        "did you mean driver.mtu_length?",
        "driver.term_buffer_length = 'big': expected a size",
        "transport.use: 'efiv' is no known transport",
        "did you mean efvi?",
        "driver.timer_interval = 'soon': expected a duration",
        "AERON_MTU_LENGHT: unknown name in the environment; did you mean AERON_MTU_LENGTH?",
        "aeron.mtu.lenght: unknown property (-Daeron.mtu.lenght); did you mean aeron.mtu.length?",
        "mtu_length: unknown key (--set mtu_length); did you mean driver.mtu_length?",
        "--set driver.idle: expected key=value",
        "driver.nothing_like_it: unknown key",
    ):
        assert expected in text
    assert len(found) == 10


def test_an_unknown_environment_name_is_only_a_warning_without_strict():
    (warning,) = load(environ={"AERON_MTU_LENGHT": "1"}).warnings
    assert "did you mean AERON_MTU_LENGTH?" in warning


def test_a_value_that_does_not_parse_is_an_error_even_if_a_later_source_wins():
    assert "AERON_MTU_LENGTH" in problems(environ={"AERON_MTU_LENGTH": "x"}, overrides=["driver.mtu_length=4096"])[0]


def test_a_value_out_of_range_is_clamped_and_said():
    settings = load(environ={"AERON_MAX_RESEND": "1000", "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT": "5us"})
    assert settings.driver.max_resend == 256
    assert settings.driver.counters_free_to_reuse_timeout == 1_000_000
    assert len(settings.warnings) == 2


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["term_buffer_length=96k"], "driver.term_buffer_length = 96k: is not a power of two"),
        (["ipc_term_buffer_length=1k"], "driver.ipc_term_buffer_length = 1k: is not a power of two"),
        (["file_page_size=5k"], "driver.file_page_size = 5k: is not a power of two"),
        (["mtu_length=1400"], "driver.mtu_length = 1400: is not a multiple of 32"),
        (["mtu_length=32"], "driver.mtu_length = 32: is not a multiple of 32 above 32"),
        (["conductor_buffer_length=3m"], "driver.conductor_buffer_length = 3m: is not a power of two plus 768"),
        (["clients_buffer_length=3m"], "driver.clients_buffer_length = 3m: is not a power of two plus 128"),
        (["send_run_length=1k"], "driver.send_run_length = 1k: is below mtu_length = 1408"),
        (["client_liveness_timeout=15s"], "driver.publication_unblock_timeout = 15s: is not above"),
        (["timer_interval=10s"], "driver.client_liveness_timeout = 10s: is not above timer_interval = 10s"),
        (["timer_interval=5s"], "driver.untethered_window_limit_timeout = 5s: is not above timer_interval = 5s"),
        (
            ["nak_unicast_delay=1000s", "nak_unicast_retry_delay_ratio=10000000"],
            "driver.nak_unicast_retry_delay_ratio = 10000000: times nak_unicast_delay is more than 64 bits",
        ),
        (["publication_reserved_session_id_low=1001"], "is above publication_reserved_session_id_high = 1000"),
        (
            ["publication_reserved_session_id_low=-2147483648", "publication_reserved_session_id_high=2147483647"],
            "leaves no session id",
        ),
        (["sender_idle_strategy=spin", "sender_idle_strategy_init_args=1us"], "spin takes no arguments"),
        (["sender_idle_strategy_init_args=10-20-1ms-1us"], "least park"),
        (["threading_mode=TURBO"], "expected one of AUTO, DEDICATED, SHARED_NETWORK, SHARED, INVOKER"),
        (["sender_wildcard_port_range=20 10"], "expected two ports"),
        (["reliable_stream=maybe"], "expected true, on or 1"),
        (["multicast_flowcontrol_supplier=slowest"], "expected one of max, min, tagged"),
        (["congestioncontrol_supplier=reno"], "expected one of static, cubic"),
        (["driver_resolver_interface=127.0.0.1"], "needs driver_resolver_name"),
        (["name_resolver_init_args=a,b,c"], "is for name_resolver_supplier = csv_table"),
        (["name_resolver_supplier=csv_table", "name_resolver_init_args=a,b,c|d,,e"], "row 'd,,e' is not name,"),
        (["udp_channel_transport_bindings_media=acme"], "name frame transports in transport.use"),
    ],
)
def test_values_that_make_a_start_fail(overrides, expected):
    assert any(expected in problem for problem in problems(overrides=[f"driver.{one}" for one in overrides]))


def test_a_timer_interval_above_the_default_untethered_timeouts_can_be_had():
    values = ["timer_interval=6s", "untethered_window_limit_timeout=7s", "untethered_resting_timeout=20s"]
    settings = load(overrides=[f"driver.{one}" for one in values])
    assert settings.driver.untethered_window_limit_timeout == 7_000_000_000


def test_a_missing_feature_that_streams_do_not_need_is_ignored_with_a_warning():
    settings = load(environ={"AERON_EVENT_LOG": "admin", "AERON_DRIVER_NATIVE_RESOURCE_AGENT_CPU_AFFINITY": "1"})
    assert [warning.partition(":")[0] for warning in settings.warnings] == [
        "driver.event_log = admin",
        "driver.driver_native_resource_agent_cpu_affinity = 1",
    ]


def test_an_empty_value_in_the_environment_is_none():
    settings = load(environ={"AERON_RECEIVER_GROUP_TAG": "", "AERON_DIR": "", "AERON_EVENT_LOG_DISABLE": ""})
    assert settings.driver == load().driver
    assert not settings.sources and not settings.warnings


@pytest.mark.parametrize("key", sorted(UNSUPPORTED))
def test_a_missing_feature_is_accepted_at_its_default(key):
    text = kind_of(key).show(default_of(key))
    settings = load(overrides=[f"driver.{key}={text}"]) if text else load()
    assert getattr(settings.driver, key) == default_of(key)


def test_files_that_are_no_configuration_say_so(tmp_path, toml):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(toml("[driver\n"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_property_file(tmp_path / "absent.properties")
    with pytest.raises(ConfigError, match="is not -Dname=value"):
        parse_definition("-Daeron.dir")


# Values.


def test_idle_strategies_with_their_arguments():
    settings = load(
        overrides=[
            "driver.sender_idle_strategy_init_args=5-6-2us-3ms",
            "driver.receiver_idle_strategy=sleep-ns",
            "driver.receiver_idle_strategy_init_args=50us",
            "driver.conductor_idle_strategy=wait",
        ]
    ).driver
    assert settings.idle_strategy("sender") == IdleStrategy("backoff", 5, 6, 2_000, 3_000_000)
    assert settings.idle_strategy("receiver") == IdleStrategy("sleeping", min_park_ns=50_000, max_park_ns=50_000)
    assert settings.idle_strategy("conductor").name == "wait"
    assert settings.idle_strategy("shared") == IdleStrategy("backoff", 10, 20, 1_000, 1_000_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("on", True), ("TRUE", True), ("1x", True), ("0", False), ("off", False), ("false", False)],
)
def test_truth_is_told_by_how_the_text_begins(text, value):
    assert load(environ={"AERON_RELIABLE_STREAM": text}).driver.reliable_stream is value


def test_the_driver_timeout_is_milliseconds_without_a_unit(toml):
    assert load(environ={"AERON_DRIVER_TIMEOUT": "1500"}).driver.driver_timeout == 1_500_000_000
    assert load(toml("[driver]\ndriver_timeout = 1500\n")).driver.driver_timeout == 1_500_000_000
    assert load(environ={"AERON_DRIVER_TIMEOUT": "2s"}).driver.driver_timeout == 2_000_000_000
    assert DriverSettings(driver_timeout=5).driver_timeout == 5


def test_a_model_made_in_a_program_refuses_what_is_out_of_range():
    assert DriverSettings(term_buffer_length="64k", sender_wildcard_port_range=(1, 2)).term_buffer_length == 65536
    with pytest.raises(ValueError, match="is outside"):
        DriverSettings(max_resend=1000)


# Names that plugins add.


class MineSettings(TransportSettings):
    environment: ClassVar[Mapping[str, str]] = {"AERON_MINE_MTU": "mtu", "AERON_MINE_USER": "driver.user"}
    mtu: int = 0


def no_probe(_settings):
    raise AssertionError("configuration opens and probes nothing")


MINE_SPEC = TransportSpec("mine", "", 1, Level.PORT, MineSettings, no_probe, no_probe)
MINE = Registry({"mine": Plugin(Claim("mine", "m", "framelane-mine", "1"), MINE_SPEC, pluggy.HookRelay())})


def test_a_plugins_name_in_the_environment_sets_its_key_or_one_of_the_driver():
    loaded = load(environ={"AERON_MINE_MTU": "9000", "AERON_MINE_USER": "aeron"}, registry=MINE)
    assert loaded.transport.plugins["mine"] == MineSettings(mtu=9000)
    assert loaded.transport.configured == {"mine"}
    assert loaded.driver.user == "aeron"
    assert loaded.source("transport.mine.mtu") == "environment AERON_MINE_MTU"
    assert not loaded.warnings


def test_a_plugins_name_is_a_property_too_and_gives_way_to_what_comes_later():
    loaded = load(
        environ={"AERON_MINE_MTU": "9000"},
        properties=[Property("aeron.mine.mtu", "1500", "-Daeron.mine.mtu")],
        registry=MINE,
    )
    assert loaded.transport.plugins["mine"] == MineSettings(mtu=1500)


def test_a_plugins_name_has_its_errors_reported_and_is_unknown_without_the_plugin():
    wrong = problems(environ={"AERON_MINE_MTU": "many"}, registry=MINE)
    assert len(wrong) == 1
    assert "transport.mine.mtu = 'many'" in wrong[0]
    assert "environment AERON_MINE_MTU" in wrong[0]
    assert (
        load(environ={"AERON_MINE_MTU": "1"}).warnings[0].startswith("AERON_MINE_MTU: unknown name in the environment")
    )
    mistyped = load(environ={"AERON_MINE_MUT": "1"}, registry=MINE).warnings
    assert mistyped == ("AERON_MINE_MUT: unknown name in the environment; did you mean AERON_MINE_MTU?",)


SIZE, DURATION = Size(0, 2**63 - 1), Duration()


@given(st.integers(0, 2**40), st.sampled_from(["", "k", "K", "m", "M", "g", "G"]))
def test_sizes_are_digits_times_their_unit(number, unit):
    factor = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[unit.lower()]
    assert SIZE.parse(f"{number}{unit}") == number * factor


@given(st.integers(0, 2**40), st.sampled_from(["", "ns", "us", "ms", "s", "MS"]))
def test_durations_are_digits_times_their_unit(number, unit):
    factor = {"": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}[unit.lower()]
    assert DURATION.parse(f"{number}{unit}") == number * factor


@given(st.integers(0, 2**63 - 1))
def test_what_is_shown_parses_to_the_same_value(value):
    assert SIZE.parse(SIZE.show(value)) == value
    assert DURATION.parse(DURATION.show(value)) == value


@given(st.text())
def test_other_text_is_an_error_and_never_anything_else(text):
    for kind, pattern in ((SIZE, r"[0-9]+[kmgKMG]?"), (DURATION, r"[0-9]+(ns|us|ms|s)?")):
        try:
            value = kind.parse(text)
        except ValueError:
            continue
        assert re.fullmatch(pattern, text.strip(), re.IGNORECASE)
        assert value >= 0


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("tagged", "tagged"),
        ("aeron_max_multicast_flow_control_strategy_supplier", "max"),
        ("aeron_min_flow_control_strategy_supplier", "min"),
        ("aeron_tagged_multicast_flow_control_strategy_supplier", "tagged"),
    ],
)
def test_short_names_and_symbols_of_flow_control_mean_the_same(name, strategy):
    settings = load(overrides=[f"driver.multicast_flowcontrol_supplier={name}", "driver.flow_control_group_tag=7"])
    defaults = publication_defaults(
        settings.driver, mtu_length=1408, term_length=65536, window_length=0, counts_spies=True
    )
    assert (defaults.flow_control.strategy, defaults.flow_control.group_tag) == (strategy, 7)
