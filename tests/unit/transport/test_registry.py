"""Discovery over real entry points: one plugin's failure is a record, never another's."""

from __future__ import annotations

import pytest

from framelane.errors import TransportError
from framelane.transport.registry import discover

MISSING_LIBRARY = "import ctypes\nctypes.CDLL('libabsent-vendor.so.7')\n"


def broken(registry, name):
    (plugin,) = registry.broken_named(name)
    return plugin


def test_broken_plugins_are_recorded_and_the_good_one_is_usable(site):
    site.add("good")
    site.add("absent", source="import no_such_module_at_all")
    site.add("unlinked", source=MISSING_LIBRARY)
    site.add("leaving", source="raise SystemExit(3)")
    site.add("silent", source="x = 1")
    site.add("misnamed", source="from framelane.transport import *\n@hookimpl\ndef framelane_transprot(): pass\n")
    registry = discover(environ={})
    assert "good" in registry.plugins
    assert "no_such_module_at_all" in broken(registry, "absent").obstacle.found
    assert "no_such_module_at_all" in broken(registry, "absent").traceback
    assert broken(registry, "absent").claim.distribution == "framelane-absent"
    assert broken(registry, "absent").claim.version == "1.2.3"
    assert "libabsent-vendor.so.7" in broken(registry, "unlinked").obstacle.found
    assert broken(registry, "leaving").obstacle.found == "SystemExit: 3"
    assert "does not implement" in broken(registry, "silent").obstacle.found
    assert "did you mean framelane_transport?" in broken(registry, "misnamed").obstacle.found


def test_abi_mismatch_is_refused_with_both_versions(site):
    site.add("future", abi=77)
    plugin = broken(discover(environ={}), "future")
    assert plugin.abi_version == 77
    assert "version 77" in plugin.obstacle.found
    assert "version 1," in plugin.obstacle.asked


def test_two_distributions_with_one_name_are_both_refused_and_not_imported(site):
    site.add("twin", distribution="acme-twin", source="raise SystemExit('imported')")
    site.add("twin", distribution="other-twin", source="raise SystemExit('imported')")
    registry = discover(environ={})
    assert "twin" not in registry.plugins
    refused = registry.broken_named("twin")
    assert {plugin.claim.distribution for plugin in refused} == {"acme-twin", "other-twin"}
    for plugin in refused:
        assert "acme-twin 1.2.3" in plugin.obstacle.found
        assert "other-twin 1.2.3" in plugin.obstacle.found


@pytest.mark.parametrize("name", ["use", "require", "rules", "Upper", "9lives", "under_score"])
def test_reserved_and_malformed_names_are_refused(site, name):
    site.add(name, distribution="acme-names", source="raise SystemExit('imported')")
    assert repr(name) in broken(discover(environ={}), name).obstacle.found


def test_a_transport_that_calls_itself_otherwise_is_refused(site):
    site.add("good", source=None)
    path = next(site.path.glob("*.dist-info")) / "entry_points.txt"
    path.write_text(path.read_text().replace("good =", "better ="))
    assert "'good'" in broken(discover(environ={}), "better").obstacle.found


def test_a_disabled_plugin_is_shown_but_not_imported_and_an_unknown_name_is_a_warning(site):
    site.add("noisy", source="raise SystemExit('imported')")
    registry = discover(environ={"FRAMELANE_DISABLE_TRANSPORTS": "noisy, noise"})
    assert broken(registry, "noisy").is_disabled
    assert any("'noise'" in warning and "did you mean noisy?" in warning for warning in registry.warnings)


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_strict_raises_instead_of_recording(site, how):
    site.add("absent", source="import no_such_module_at_all")
    environ = {"FRAMELANE_STRICT_TRANSPORTS": "1"} if how == "environment" else {}
    disabled = {"FRAMELANE_DISABLE_TRANSPORTS": "sockets"}
    with pytest.raises(TransportError, match="no_such_module_at_all"):
        discover(environ={**environ, **disabled}, strict=None if environ else True)


def test_unreadable_metadata_is_a_warning_and_hides_nobody(site):
    site.add("good")
    site.add("garbled")
    (site.path / "framelane_garbled-1.2.3.dist-info" / "entry_points.txt").write_bytes(
        b"[framelane.transports]\n\xff\xfe = = =\nno equals sign"
    )
    registry = discover(environ={})
    assert "good" in registry.plugins
    assert any("garbled" in warning for warning in registry.warnings)


def test_a_failing_hook_is_known_by_name_and_the_others_are_called(site):
    called = "@hookimpl\ndef framelane_driver_started(driver):\n    driver.append({!r})\n"
    failing = "@hookimpl\ndef framelane_driver_started(driver):\n    raise ValueError('no')\n"
    site.add("aa", before=called.format("aa"))
    site.add("bb", before=failing)
    site.add("cc", before=called.format("cc"))
    registry = discover(environ={})
    log: list[str] = []
    failures = registry.call_each(lambda hooks: hooks.framelane_driver_started(driver=log))
    assert log == ["aa", "cc"]
    assert [failure.plugin.name for failure in failures] == ["bb"]
