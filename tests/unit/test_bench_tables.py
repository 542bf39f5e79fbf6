"""``bench/tables.py``: from the output of ``framelane bench --json`` to the tables of docs/performance.md."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from framelane.bench import Benchmark, Measurement, Result

SCRIPT = Path(__file__).parents[2] / "bench" / "tables.py"
spec = importlib.util.spec_from_file_location("bench_tables", SCRIPT)
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)


@pytest.fixture
def files(tmp_path):
    rates = [
        Measurement(value, cpu_s_per_million=1.5, system_calls_per_message=0.04, handover_ns=handover_ns)
        for value, handover_ns in ((3e6, 61), (1e6, 190), (2e6, 58))
    ]
    floor = [Measurement(value, handover_ns=60) for value in (4e6, 1e6, 5e6)]
    times = [Measurement(25.04, percentiles_us={"p50": 25.04, "p99": 71.7})]
    host = {"cores": 2}
    benchmarks = [
        Benchmark(
            "throughput",
            "sockets",
            [Result("sockets throughput", 32, "forward", "messages/s", "raw sendto/recvfrom", rates, floor)],
            ["medians of three"],
            host,
        ),
        Benchmark(
            "latency",
            "sockets",
            [Result("sockets latency", "mixed", "round trip", "us", "raw UDP ping/pong", times, times, is_rate=False)],
            host=host,
        ),
    ]
    made = []
    for benchmark in benchmarks:
        made.append(tmp_path / f"{benchmark.benchmark}.json")
        made[-1].write_text(json.dumps(benchmark.as_json()))
    return [str(path) for path in made]


def test_tables_show_medians_floors_ratios_and_percentiles(files, capsys):
    assert tables.main(files) == 0
    printed = capsys.readouterr().out
    assert "### throughput, transport sockets (messages/s)" in printed
    assert "Host: cores 2.\nMedians of three." in printed
    assert (
        "| 32 | forward | 2.00 M | 1.00 M | 3.00 M | 1.50 | 0.04 | 58..190 | raw sendto/recvfrom | 4.00 M | 0.75 |"
        in printed
    )
    assert "| mixed | round trip | 25.0 | 25.0 | 25.0 | 0.00 |  |  | raw UDP ping/pong | 25.0 | 1.00 |" in printed
    assert "| length | p50 | p99 |" in printed and "| mixed | 25.0 | 71.7 |" in printed


def test_tables_replace_what_stands_between_the_marks_again_and_again(files, tmp_path):
    document = tmp_path / "performance.md"
    document.write_text("# Before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\n# After\n")
    for _ in range(2):
        assert tables.main([*files, "--into", str(document)]) == 0
        text = document.read_text()
        assert text.startswith("# Before\n<!-- tables: begin -->\n\n### throughput")
        assert text.endswith("\n<!-- tables: end -->\n# After\n")
        assert text.count("###") == 2 and "old" not in text


def test_a_document_without_marks_stays_as_it_is(files, tmp_path, capsys):
    document = tmp_path / "performance.md"
    document.write_text("# Only text\n")
    assert tables.main([*files, "--into", str(document)]) == 1
    assert document.read_text() == "# Only text\n"
    assert capsys.readouterr().err.startswith("tables: the document needs the lines")


def test_tables_of_several_names_are_apart_and_go_to_their_own_section(files, tmp_path):
    one = [Measurement(1e6)]
    names = ["dpdk ring frames", "dpdk memif frames"]
    results = [Result(name, 64, "forward", "messages/s", "raw DPDK bursts, batch 64", one, one) for name in names]
    file = tmp_path / "dpdk.json"
    file.write_text(json.dumps(Benchmark("frames", "dpdk", results, host={}).as_json()))
    document = tmp_path / "performance.md"
    document.write_text(
        "<!-- tables: begin -->\nkept\n<!-- tables: end -->\n<!-- tables x: begin --><!-- tables x: end -->"
    )
    assert tables.main([str(file), "--into", str(document), "--section", "x"]) == 0
    text = document.read_text()
    assert text.startswith("<!-- tables: begin -->\nkept\n<!-- tables: end -->\n<!-- tables x: begin -->")
    first, second = (text.index(f"**{name}**") for name in names)
    assert text.count("| length | direction |") == 2 and first < text.index("| length |") < second
