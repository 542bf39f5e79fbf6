"""What a packet costs on our ef_vi path, beside a bare loop over the same stand-in for the library.

python bench/efvi_cost.py                   instructions by callgrind, and time; as a table
python bench/efvi_cost.py --json            the same as JSON
python bench/efvi_cost.py --length 320      other datagrams; may be given several times

``docs/performance.md``, "ef_vi beside a bare loop", says what both do and what the columns are. The program is in
``bench/efvi``, and is built into ``build/bench``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import framelane_abi
from framelane.bench.model import host_facts
from framelane_abi.build import SANITIZERS
from framelane_efvi.build import Sdk, features

__all__ = ["BATCH", "LENGTHS", "Cost", "Row", "build", "main", "measure"]

_ROOT = Path(__file__).resolve().parents[1]
_SOURCES = _ROOT / "bench/efvi"
_CORE = _ROOT / "core/c/src"
_PLUGIN = _ROOT / "plugins/efvi/src/framelane_efvi/c"
_STAND_IN = _ROOT / "tests/vendor/ciul"

#: Datagrams of a duty cycle: the transmit FIFO of an adapter with shared queues, 32 KiB, holds no 32 of 1408 bytes.
BATCH = 16
LENGTHS = (64, 1408)
#: Adapters of the stand-in, by how they receive and send.
MODELS = {"x2522": "descriptor rings, DMA", "x3522": "shared queues, CTPIO"}
#: Functions of the stand-in; its header's inline ones are part of whoever calls them, on both sides.
_IS_STAND_IN = re.compile(r"(fl_ciul_|ef_|efct_|__ef_vi)").match
_COUNTED_CYCLES = 22  #: completions are the same again after 11
_TIMED_CYCLES = 4000


@dataclass(frozen=True)
class Cost:
    """What one datagram costs on one side."""

    instructions: float  #: without those of the stand-in
    stand_in: float  #: instructions inside the stand-in
    ns: float  #: the stand-in's included, the least of the runs; 0 where time was not measured


@dataclass(frozen=True)
class Row:
    """Ours and the bare loop."""

    direction: str  #: ``receive`` or ``transmit``
    model: str
    length: int
    path: Cost
    floor: Cost

    @property
    def ratio(self) -> float:
        """Instructions, without the stand-in."""
        return self.path.instructions / self.floor.instructions

    @property
    def ratio_with_stand_in(self) -> float:
        """Instructions, the stand-in's counted on both sides."""
        return (self.path.instructions + self.path.stand_in) / (self.floor.instructions + self.floor.stand_in)

    @property
    def ratio_ns(self) -> float:
        """Time; 0 where it was not measured."""
        return self.path.ns / self.floor.ns if self.floor.ns else 0.0


# ---- the program ----


def _sources() -> list[Path]:
    """Return the C files: the program's, the plugin's, and those of the core that a netstack needs."""
    core = [*_CORE.glob("netstack/*.c"), *_CORE.glob("util/*.c")]
    core += [_CORE / "transport/host.c", _CORE / "transport/ops_table.c"]
    return sorted([*_SOURCES.glob("*.c"), *_PLUGIN.glob("*.c"), *core])


def _digest() -> str:
    total = hashlib.sha256(sys.version.encode())
    for folder in (_SOURCES, _PLUGIN, _STAND_IN, _CORE, Path(framelane_abi.get_include())):
        for path in sorted(folder.rglob("*.[ch]")):
            total.update(f"{path}\0".encode() + path.read_bytes())
    return total.hexdigest()


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise SystemExit(f"efvi_cost: {' '.join(map(str, command[:4]))} ...: {done.stdout}{done.stderr}")
    return done.stdout


def _sdk() -> Sdk:
    """Return the stand-in, made where tests have it too."""
    folder = _ROOT / "build/vendor/ciul"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _run(["make", "-s", "-C", _STAND_IN, f"DEST={folder}"])
    return Sdk(folder / "include", folder / "lib/libciul1.a")


def _compile(folder: Path, program: Path) -> None:
    sdk = _sdk()
    # As the native halves are compiled, whatever the environment asks those to be built for.
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", *SANITIZERS[""]]
    flags += [f"-I{_PLUGIN}", f"-I{_CORE}", f"-I{framelane_abi.get_include()}", *sdk.include_arguments]
    flags += [f"-DFL_EFVI_HAS_{name}=1" for name in features(sdk)]

    def build_one(source: Path) -> Path:
        target = folder / f"{source.parent.name}-{source.name}.o"
        _run(["cc", *flags, "-c", source, "-o", target])
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(build_one, _sources()))
    _run(["cc", *objects, sdk.library, "-pthread", "-lm", "-o", program])


def build() -> Path:
    """Build the program where a source has changed; return where it is."""
    folder = _ROOT / "build/bench/efvi"
    program, stamp = folder / "cost", folder / "built-from"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = _digest()
        if not stamp.is_file() or stamp.read_text() != digest:
            _compile(folder, program)
            stamp.write_text(digest)
    return program


@contextmanager
def _wires() -> Iterator[Path]:
    """Return a folder for wires; those of a killed program are in it too."""
    with tempfile.TemporaryDirectory(prefix="efvi-cost-") as folder:
        yield Path(folder)


# ---- instructions ----


def _count(profile: Path) -> tuple[int, int]:
    """Return what callgrind counted: all instructions, and those of the stand-in with all that it calls."""
    names: dict[str, str] = {}
    total = stand_in = 0
    caller = callee = ""
    is_call = False

    def name_of(text: str) -> str:
        number, _, name = text.strip().partition(" ")
        return names.setdefault(number, name)

    for line in profile.read_text().splitlines():
        if line.startswith("fn="):
            caller = name_of(line[3:])
        elif line.startswith("cfn="):
            callee = name_of(line[4:])
        elif line.startswith("calls="):
            is_call = True
        elif line[:1] in "+-*0123456789" and line:
            cost = int(line.split()[1])
            if not is_call:
                total += cost
            elif _IS_STAND_IN(callee) and not _IS_STAND_IN(caller):
                stand_in += cost
            is_call = False
    return total, stand_in


def _instructions(program: Path, cases: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the instructions of a datagram by case: ours, or the bare loop's, and the stand-in's."""
    if shutil.which("valgrind") is None:
        raise SystemExit("efvi_cost: instructions are counted by callgrind: install valgrind")
    with _wires() as wires, tempfile.TemporaryDirectory() as profiles:
        # Only what is called from the measured duty cycles counts. Every case is a process, so it has a file.
        command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profiles}/%p"]
        command += ["--toggle-collect=fl_cost_measured", str(program), str(wires)]
        printed = _run([*command, str(_COUNTED_CYCLES), str(BATCH), *cases])
        found = {}
        for line in printed.splitlines():
            case, process, datagrams, _ = line.split()
            total, stand_in = _count(Path(profiles, process))
            found[case] = ((total - stand_in) / int(datagrams), stand_in / int(datagrams))
    return found


# ---- time ----


def _times(program: Path, cases: Sequence[str], runs: int) -> dict[str, list[float]]:
    """Return nanoseconds of a datagram by case, for each run; a run has all cases in turn."""
    found: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(runs):
        with _wires() as wires:
            printed = _run([program, wires, str(_TIMED_CYCLES), str(BATCH), *cases])
        for line in printed.splitlines():
            case, _, datagrams, elapsed_ns = line.split()
            found[case].append(int(elapsed_ns) / int(datagrams))
    return found


def measure(lengths: Sequence[int] = LENGTHS, *, runs: int = 0) -> list[Row]:
    """Measure both sides, in both directions, on both models.

    :param lengths: of datagrams, bytes: 18 to 1472.
    :param runs: how often to take the time; 0: not at all.
    :raises SystemExit: if the program cannot be built or fails; it fails where a datagram is lost or changed.
    """
    program = build()
    kinds = [(way, model, length) for way in ("receive", "transmit") for model in MODELS for length in lengths]
    cases = [f"{side}:{way}:{model}:{length}" for way, model, length in kinds for side in ("floor", "path")]
    counted = _instructions(program, cases)
    timed = _times(program, cases, runs)

    def cost(case: str) -> Cost:
        return Cost(*counted[case], min(timed[case], default=0.0))

    return [
        Row(way, model, length, cost(f"path:{way}:{model}:{length}"), cost(f"floor:{way}:{model}:{length}"))
        for way, model, length in kinds
    ]


# ---- what is shown ----


def _table(rows: Sequence[Row]) -> str:
    headings = ("direction", "adapter", "length", "instructions", "bare loop", "ratio")
    headings += ("in the stand-in", "ratio with it", "ns", "bare loop ns", "ratio of ns")
    lines = ["| " + " | ".join(headings) + " |", "|---|---" + "|---:" * (len(headings) - 2) + "|"]
    for row in rows:
        cells = [row.direction, MODELS[row.model], str(row.length)]
        cells += [f"{row.path.instructions:.0f}", f"{row.floor.instructions:.0f}", f"{row.ratio:.2f}"]
        cells += [f"{row.floor.stand_in:,.0f}", f"{row.ratio_with_stand_in:.2f}"]
        cells += [f"{row.path.ns:.0f}", f"{row.floor.ns:.0f}", f"{row.ratio_ns:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _as_json(rows: Sequence[Row]) -> str:
    results = [
        asdict(row) | {"ratio": row.ratio, "ratio_with_stand_in": row.ratio_with_stand_in, "ratio_ns": row.ratio_ns}
        for row in rows
    ]
    return json.dumps({"benchmark": "efvi-cost", "host": host_facts(), "batch": BATCH, "results": results}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="What a packet costs on our ef_vi path, beside a bare loop.")
    parser.add_argument("--length", type=int, action="append", metavar="N", help="of datagrams, 18 to 1472 bytes")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="how often time is taken; the least counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    lengths = options.length or LENGTHS
    if any(not 18 <= length <= 1472 for length in lengths) or options.runs < 1:
        parser.error("a length is 18 to 1472 bytes, and there is at least one run")
    rows = measure(lengths, runs=options.runs)
    print(_as_json(rows) if options.json else _table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
