"""Settings of port-level plugins: addresses and routes, from every source, as they are shown."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from framelane.cli.config import resolved_rows
from framelane.driver.settings import Property, load_settings
from framelane.errors import ConfigError
from framelane.netstack.own import link_local_address, own_addresses, own_routes
from framelane.netstack.tables import NetworkRoute
from framelane.transport import Capabilities, Device, Level, PortSettings, TransportSpec, Verdict
from framelane.transport.port_settings import port_facts
from framelane.transport.registry import Claim, Plugin, Registry

FILE = """
[transport.fast-port]
addresses = ["10.1.0.5/24", "fd01::5/64"]
gateway = ["10.1.0.1", "fe80::1"]
routes = [{ to = "10.2.0.0/16", via = "10.1.0.9" }]
udp_checksum = false
"""


def registry():
    spec = TransportSpec("fast-port", "a port", 1, Level.PORT, PortSettings, probe=None, open=None)
    return Registry({"fast-port": Plugin(Claim("fast-port", "module", "test", "1"), spec, None)})


def load(file=None, environ=None, properties=(), overrides=()):
    settings = load_settings(file, environ or {}, properties, overrides, registry=registry())
    return settings, settings.transport.plugins["fast-port"]


def test_lists_and_tables_come_from_a_file_and_are_shown_as_they_are_written(tmp_path):
    file = tmp_path / "framelane.toml"
    file.write_text(FILE)
    settings, port = load(file)
    assert port.addresses == (ip_interface("10.1.0.5/24"), ip_interface("fd01::5/64"))
    assert own_routes(port) == [
        NetworkRoute(ip_network("10.2.0.0/16"), gateway=ip_address("10.1.0.9")),
        NetworkRoute(ip_network("0.0.0.0/0"), gateway=ip_address("10.1.0.1")),
        NetworkRoute(ip_network("::/0"), gateway=ip_address("fe80::1")),
    ]
    shown = {row.key.removeprefix("transport.fast-port."): row.shown for row in resolved_rows(settings)}
    assert shown["addresses"] == "10.1.0.5/24, fd01::5/64"
    assert shown["gateway"] == "10.1.0.1, fe80::1"
    assert shown["routes"] == "{ to = 10.2.0.0/16, via = 10.1.0.9 }"
    assert (shown["udp_checksum"], shown["vlan"]) == ("false", "")


@pytest.mark.parametrize(
    "given",
    [
        {"environ": {"FRAMELANE_TRANSPORT_FAST_PORT_ADDRESSES": "10.1.0.5/24, fd01::5/64"}},
        {"environ": {"FRAMELANE_TRANSPORT_FAST_PORT_ADDRESSES": '["10.1.0.5/24", "fd01::5/64"]'}},
        {"properties": [Property("framelane.transport.fast.port.addresses", "10.1.0.5/24,fd01::5/64", "-D")]},
        {"overrides": ["transport.fast-port.addresses=10.1.0.5/24,fd01::5/64"]},
        {"overrides": ['transport.fast-port.addresses=["10.1.0.5/24", "fd01::5/64"]']},
    ],
)
def test_addresses_come_from_every_source(given):
    settings, port = load(**given)
    assert port.addresses == (ip_interface("10.1.0.5/24"), ip_interface("fd01::5/64"))
    assert settings.source("transport.fast-port.addresses") != "default"
    assert settings.warnings == ()


def test_routes_and_numbers_come_from_the_environment():
    _, port = load(
        environ={
            "FRAMELANE_TRANSPORT_FAST_PORT_ADDRESSES": "10.1.0.5/24",
            "FRAMELANE_TRANSPORT_FAST_PORT_ROUTES": '[{ to = "10.2.0.0/16", via = "10.1.0.9" }]',
            "FRAMELANE_TRANSPORT_FAST_PORT_VLAN": "7",
            "FRAMELANE_TRANSPORT_FAST_PORT_UDP_CHECKSUM": "false",
        }
    )
    assert (str(port.routes[0].to), port.vlan, port.udp_checksum) == ("10.2.0.0/16", 7, False)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("addresses=10.1.0.500/24", "addresses = '10.1.0.500/24': '10.1.0.500/24' is no address with prefix length"),
        ("addresses=10.1.0.5", "10.1.0.5 lacks the prefix length of its network; write it behind, such as 10.1.0.5/24"),
        ("addresses=fd01::5", "such as fd01::5/64"),
        ("addresses=239.1.0.5/24", "239.1.0.5/24 is no address that a device can have"),
        ("addresses=10.1.0.0/24", "10.1.0.0/24 is the network's first or last address"),
        ("gateway=10.1.0.x", "'10.1.0.x' is no address"),
        ("gateway=0.0.0.0", "0.0.0.0 is no address that a gateway can have"),
        ("adresses=10.1.0.5/24", "did you mean addresses?"),
        ("gateway=10.1.0.1", "gateway 10.1.0.1 is on none of the device's networks (none are configured)"),
        ("neighbour_capacity=1000", "1000 is not a power of two, such as 1024"),
        ("vlan=5000", "less than or equal to 4094"),
        ("routes=[", "transport.fast-port.routes = [: the value is not TOML"),
    ],
)
def test_a_wrong_value_is_named_with_its_source(override, expected):
    with pytest.raises(ConfigError) as error:
        load(overrides=[f"transport.fast-port.{override}"])
    assert expected in str(error.value)


def test_a_gateway_is_neither_the_device_itself_nor_out_of_its_reach():
    own = "transport.fast-port.addresses=10.1.0.5/32"
    with pytest.raises(ConfigError, match=r"gateway 10\.1\.0\.5 is the device's own address"):
        load(overrides=[own, "transport.fast-port.gateway=10.1.0.5"])
    with pytest.raises(ConfigError, match=r'on the link all the same, add \{ to = "10\.1\.0\.1/32" \} to routes'):
        load(overrides=[own, "transport.fast-port.gateway=10.1.0.1"])


def test_a_route_without_gateway_is_on_the_link_and_may_lead_to_one():
    _, port = load(
        overrides=[
            "transport.fast-port.addresses=10.1.0.5/32",
            "transport.fast-port.gateway=10.1.0.1",
            'transport.fast-port.routes=[{ to = "10.1.0.1/32" }]',
        ]
    )
    assert own_routes(port) == [
        NetworkRoute(ip_network("10.1.0.1/32")),
        NetworkRoute(ip_network("0.0.0.0/0"), gateway=ip_address("10.1.0.1")),
    ]


def test_an_environment_name_of_no_transport_is_only_a_warning():
    settings, _ = load(environ={"FRAMELANE_TRANSPORT_FASTER_VLAN": "7"})
    assert "FRAMELANE_TRANSPORT_FASTER_VLAN: unknown name in the environment" in settings.warnings[0]


def test_an_ipv6_address_brings_the_link_local_one_of_the_mac_address():
    mac = bytes.fromhex("020000000005")
    assert str(link_local_address(bytes.fromhex("525400123456"))) == "fe80::5054:ff:fe12:3456/64"
    assert own_addresses(PortSettings(addresses=["10.1.0.5/24"]), mac) == [ip_interface("10.1.0.5/24")]
    both = [ip_interface("fd01::5/64"), ip_interface("fe80::ff:fe00:5/64")]
    assert own_addresses(PortSettings(addresses=["fd01::5/64"]), mac) == both
    given = PortSettings(addresses=["fe80::7/64", "fd01::5/64"])
    assert own_addresses(given, mac) == list(given.addresses)


def test_the_facts_of_a_probe_say_where_addresses_come_from():
    def facts(settings, device):
        return [fact.value for fact in port_facts(settings, Verdict(True, Capabilities(), devices=(device,)))]

    assert facts(PortSettings(), Device("eth2", "eth2")) == [
        "eth2: addresses, routes and neighbours of eth2, from Linux"
    ]
    own = PortSettings(addresses=["10.1.0.5/24"])
    assert facts(own, Device("0000:03:00.0")) == ["0000:03:00.0: neighbours of its own; addresses 10.1.0.5/24"]
    device = Device("vdev", addresses=("10.1.0.5/24",), reaches=("0.0.0.0/0",))
    assert facts(own, device) == ["vdev: neighbours of its own; addresses 10.1.0.5/24; reaches 0.0.0.0/0"]
