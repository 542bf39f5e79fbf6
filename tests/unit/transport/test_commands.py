"""The command line in processes of its own, over real entry points."""

from __future__ import annotations

import json

DEVICE = "return Verdict(True, Capabilities(queues=1), devices=(Device('eth9', 'eth9'),))"
STACK = "return Verdict(True, Capabilities(ipv6=True, loops_back=True), (Fact('port', str(settings.port)),))"
NO_SOCKETS = {"FRAMELANE_DISABLE_TRANSPORTS": "sockets"}


def transports(site, *arguments, environ=NO_SOCKETS):
    document = json.loads(site.run("transports", "--json", *arguments, environ=environ).stdout)
    assert set(document) == {"transports", "order", "chosen", "netstacks"}
    return document, {entry["name"]: entry for entry in document["transports"]}


def test_every_broken_plugin_is_shown_with_its_reason_and_the_good_ones_stay_usable(site):
    site.add("good", STACK)
    site.add("other", STACK)
    site.add("absent", source="import no_such_module_at_all")
    site.add("unlinked", source="import ctypes\nctypes.CDLL('libabsent-vendor.so.7')\n")
    site.add("future", abi=77)
    site.add("twin", distribution="acme-twin")
    site.add("twin", distribution="other-twin")
    site.add("crash", "ctypes.string_at(0)")
    site.add("hangs", "time.sleep(60)")
    site.add("babbles", "sys.stdout.write('{]' * 100000); sys.stdout.flush(); return 'garbage'")
    document, entries = transports(site, "--set", 'transport.use=["good", "other"]')
    for name in ("good", "other"):
        assert entries[name]["usable"]
        assert entries[name]["capabilities"]["loops_back"]
        assert entries[name]["obstacles"] == []
    assert entries["good"] | {"capabilities": {}} == {
        "name": "good",
        "distribution": "framelane-good",
        "version": "1.2.3",
        "abi": 1,
        "level": "python",
        "usable": True,
        "capabilities": {},
        "facts": {"port": "0"},
        "obstacles": [],
    }
    for name, words in {
        "absent": "no_such_module_at_all",
        "unlinked": "libabsent-vendor.so.7",
        "future": "ABI version 77",
        "twin": "acme-twin 1.2.3, other-twin 1.2.3",
        "crash": "SIGSEGV",
        "hangs": "within 2 s",
        "babbles": "str and not a Verdict",
        "sockets": "disabled",
    }.items():
        assert not entries[name]["usable"]
        (obstacle,) = entries[name]["obstacles"]
        assert set(obstacle) == {"asked", "found", "where", "next"}
        assert words in obstacle["found"], name
    assert entries["future"]["abi"] == 77
    assert [entry["distribution"] for entry in document["transports"] if entry["name"] == "twin"] == [
        "acme-twin",
        "other-twin",
    ]
    assert document["order"] == ["good", "other"]
    (chosen,) = document["chosen"]
    assert (chosen["for"], chosen["transport"], chosen["passed_over"]) == ("default channel", "good", [])
    assert chosen["why"] == "It is first in transport.use."


def test_a_fallback_is_shown_with_its_reason(site):
    site.add("crash", "ctypes.string_at(0)")
    site.add("device", DEVICE)
    site.add("good", STACK)
    absent = "transport.vma.library=/nowhere/libvma.so"
    document, _ = transports(site, "--set", "transport.use=crash,device,vma,good", "--set", absent)
    (chosen,) = document["chosen"]
    assert chosen["transport"] == "good"
    why = {passed["name"]: passed["why"] for passed in chosen["passed_over"]}
    assert list(why) == ["crash", "device", "vma"]
    assert "SIGSEGV" in why["crash"]
    assert "device has eth9" in why["device"]
    assert "vma is not usable: the library /nowhere/libvma.so" in why["vma"]
    text = site.run(
        "transports", "--verbose", "--set", "transport.use=crash,device,vma,good", environ=NO_SOCKETS
    ).stdout
    assert "not crash" in text
    assert "default channel: good (It is the first in transport.use that can serve the endpoint.)" in text


def test_a_required_transport_that_cannot_be_used_leaves_nothing_to_any_channel(site):
    site.add("crash", "ctypes.string_at(0)")
    site.add("good", STACK)
    settings = ("--set", 'transport.use=["good"]', "--set", 'transport.require="crash"')
    document, _ = transports(site, *settings)
    (chosen,) = document["chosen"]
    assert (chosen["for"], chosen["transport"]) == ("every channel", None)
    assert 'No driver starts: transport.require = "crash" cannot be met' in chosen["why"]
    text = site.run("transports", *settings, environ=NO_SOCKETS).stdout
    first, *verdict = text[text.index("every channel: nothing (No driver starts") :].splitlines()
    assert first.endswith("crash is installed but not usable)")
    assert "SIGSEGV" in "".join(line for line in verdict if line.startswith("  found "))
    assert "good (" not in text


def test_the_configuration_file_reaches_the_probe(site, tmp_path):
    site.add("good", STACK)
    file = tmp_path / "framelane.toml"
    file.write_text("[transport.good]\nport = 40123\n")
    _, entries = transports(site, "--config", str(file))
    assert entries["good"]["facts"] == {"port": "40123"}


def test_strict_discovery_fails_with_one_message_and_no_traceback_of_ours(site):
    site.add("future", abi=77)
    done = site.run("transports", environ=NO_SOCKETS | {"FRAMELANE_STRICT_TRANSPORTS": "1"}, code=1)
    assert "ABI version 77" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_check_reports_all_errors_at_once(site, tmp_path):
    site.add("good", STACK)
    file = tmp_path / "framelane.toml"
    file.write_text(
        '[driver]\nmtu_lenght = 4096\n[transport]\nuse = ["goood"]\nrequire = "efiv"\n'
        '[transport.good]\nprot = 1\nport = "many"\n[transport.use2]\nx = 1\n'
        '[[transport.rules]]\ninterfaces = "eth0"\ntransport = "good"\n'
        '[[transport.rules]]\ntransport = "good"\n[[transport.rules]]\nendpoint = "here"\ntransport = "dpkd"\n'
    )
    done = site.run("config", "check", str(file), code=1)
    for expected in (
        "driver.mtu_lenght: unknown key",
        "did you mean driver.mtu_length?",
        "transport.use: 'goood' is no known transport",
        "did you mean good?",
        "transport.require: 'efiv' is no known transport",
        "did you mean efvi?",
        "transport.good.prot: unknown key",
        "did you mean port?",
        "transport.good.port = 'many': Input should be a valid integer",
        "transport.use2: 'use2' is no known transport",
        "transport.rules[0].interfaces: unknown key",
        "did you mean interface?",
        "transport.rules[1]: a rule needs interface, address or endpoint",
        "transport.rules[2].endpoint = 'here': 'here' is not host:port",
    ):
        assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_config_check_accepts_a_good_file_and_warns_about_what_it_cannot_check(site, tmp_path):
    site.add("good", STACK)
    file = tmp_path / "framelane.toml"
    file.write_text(
        '[driver]\nuser = "nobody"\n[transport]\nuse = ["efvi", "good"]\n[transport.good]\nport = 1\n'
        '[transport.vma]\nspec = "latency"\n'
        '[[transport.rules]]\ninterface = "eth2"\naddress = "10.0.0.0/8"\nendpoint = "*:40123"\ntransport = "good"\n'
    )
    done = site.run("config", "check", str(file), environ={"FRAMELANE_DISABLE_TRANSPORTS": "vma"})
    assert done.stdout == f"{file}: ok\n"
    assert "transport.vma: the transport is broken or disabled" in done.stderr


def test_config_show_tells_values_and_sources(site, tmp_path):
    site.add("good", STACK)
    file = tmp_path / "framelane.toml"
    file.write_text('[driver]\nmtu_length = 4096\n[transport.good]\nname = "a"\n')
    environ = {"AERON_TIMER_INTERVAL": "500ms", "FRAMELANE_TRANSPORT_USE": "good,sockets", "AERON_MTU_LENGHT": "1"}
    arguments = ["config", "show", "--json", "--config", str(file), "--set", "transport.good.port=7"]
    document = json.loads(site.run(*arguments, environ=environ).stdout)
    rows = {row["key"]: row for row in document["settings"]}
    assert (rows["driver.mtu_length"]["value"], rows["driver.mtu_length"]["source"]) == (4096, f"file {file}")
    assert rows["driver.timer_interval"]["value"] == 500_000_000
    assert rows["driver.timer_interval"]["source"] == "environment AERON_TIMER_INTERVAL"
    assert rows["driver.threading_mode"] == {
        "key": "driver.threading_mode",
        "value": "AUTO",
        "source": "default",
        "remark": "the stock default is DEDICATED",
    }
    assert rows["transport.use"]["value"] == ["good", "sockets"]
    assert rows["transport.use"]["source"] == "environment FRAMELANE_TRANSPORT_USE"
    assert (rows["transport.good.port"]["value"], rows["transport.good.port"]["source"]) == (
        7,
        "--set transport.good.port",
    )
    assert rows["transport.good.name"]["value"] == "a"
    (warning,) = document["warnings"]
    assert "AERON_MTU_LENGHT" in warning
    assert "AERON_MTU_LENGHT" in site.run("config", "show", "--strict", environ=environ, code=1).stderr
    assert "the stock default is DEDICATED" in site.run("config", "show").stdout
    assert "mtu_length" not in site.run("config", "show", "--changed").stdout


def test_wrong_usage_is_exit_code_two(site):
    assert "No such command" in site.run("transprots", code=2).stderr
    site.run("config", "check", code=2)
    site.run("transports", "--jsno", code=2)


def test_commands_of_plugins_are_found_and_a_failing_plugin_does_not_hide_them(site):
    command = "@hookimpl\ndef framelane_register_commands(app):\n    app.command('greet')(lambda: print('hello'))\n"
    site.add("good", before=command)
    site.add("failing", before="@hookimpl\ndef framelane_register_commands(app):\n    raise ValueError('no')\n")
    done = site.run("greet")
    assert done.stdout == "hello\n"
    assert "commands of transport failing (framelane-failing 1.2.3) are missing: ValueError: no" in done.stderr
    assert "greet" in site.run("--help").stdout


def test_a_command_of_ours_starts_without_importing_plugins(site):
    site.add("noisy", source="import sys; sys.stderr.write('imported')")
    assert "imported" not in site.run("transports", "--help").stderr
    assert "imported" in site.run("--help").stderr


def test_the_version_is_printed(site):
    assert site.run("--version").stdout.startswith("framelane ")
