"""Operations of chance on the plugins' ops tables, over stand-ins that abort on misuse; see ``ops/README.md``.

Plugin, stand-in and driver are one program: with AddressSanitizer and UndefinedBehaviorSanitizer in the long runs and
under ``tools/sanitize``, without them in the quick ones, which have to be compiled each time.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import framelane_abi
from support.vendor import build_ciul

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).parent / "ops"
SANITIZERS = "address,undefined"
FLAGS = ["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"]
SANITIZED = ["-O1", "-g", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
LONG = 10_000_000
SIZES = [
    pytest.param(20_000, id="quick"),
    pytest.param(LONG, id="whole", marks=[pytest.mark.acceptance, pytest.mark.timeout(3600)]),
]
INTERFACES = "ip link add eth2 type veth peer name eth3 && ip link set eth2 up && ip link set eth3 up"

pytestmark = pytest.mark.root


def is_sanitized(count: int) -> bool:
    return count == LONG or os.environ.get("FRAMELANE_SANITIZE") == "address"


def link(target: Path, sources: list[Path], flags: list[str], libraries: tuple[str, ...], sanitized: bool) -> Path:
    """Compile the sources, two at a time, and link them."""
    command = ["cc", *FLAGS, *(SANITIZED if sanitized else ["-O0"]), *flags]

    def call(*arguments: str | Path) -> None:
        done = subprocess.run(
            [*command, *map(str, arguments)], cwd=target.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def compile_one(source: Path) -> str:
        built = f"{target.name}-{source.parent.name}-{source.stem}.o"
        call("-c", source, "-o", built)
        return built

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    call(*objects, *libraries, "-o", target)
    return target


def port_program(folder: Path, sanitized: bool) -> Path:
    from framelane_efvi.build import Sdk, features

    built = build_ciul(SANITIZERS if sanitized else None)
    sdk = Sdk(built / "include", built / "lib/libciul1.a")
    plugin = ROOT / "plugins/efvi/src/framelane_efvi/c"
    flags = ["-std=gnu11", f"-I{framelane_abi.get_include()}", f"-I{sdk.include}", f"-I{plugin}"]
    flags += [f"-DFL_EFVI_HAS_{name}=1" for name in features(sdk)]
    sources = [OPS / "ops.c", *sorted(OPS.glob("port_*.c")), *sorted(plugin.glob("*.c"))]
    return link(folder / "port_ops", sources, flags, (str(sdk.library), "-Wl,--wrap=clock_gettime"), sanitized)


def transport_program(folder: Path, sanitized: bool) -> Path:
    plugin = ROOT / "plugins/vma/c"
    sources = [OPS / "ops.c", *sorted(OPS.glob("transport_*.c")), *sorted(plugin.glob("*.c"))]
    flags = ["-std=gnu11", f"-I{framelane_abi.get_include()}", f"-I{plugin}"]
    return link(folder / "transport_ops", sources, flags, ("-ldl",), sanitized)


def vma_library(folder: Path, sanitized: bool) -> Path:
    sources = sorted((ROOT / "tests/vendor/vma").glob("*.c"))
    return link(
        folder / "libvma.so",
        sources,
        ["-std=c11", "-fPIC", "-fvisibility=hidden", f"-I{ROOT}/tests/vendor/vma/include"],
        ("-shared",),
        sanitized,
    )


def run(program: Path, count: int, set_up: str, argument: Path | str) -> None:
    """Run a driver in a network of its own."""
    wanted = os.environ.get("FRAMELANE_OPS_SEED", "1")
    seed = str(secrets.randbits(40)) if wanted == "random" else wanted
    number = os.environ.get("FRAMELANE_OPS_COUNT", str(count))
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{set_up} && exec "$@"', "sh", program, seed, number, argument],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-500:]}{done.stderr[-4000:]}"


@pytest.mark.parametrize("count", SIZES)
def test_ports_and_their_stand_in_agree_whatever_the_order(tmp_path: Path, count: int) -> None:
    program = port_program(tmp_path, is_sanitized(count))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as wire:
        run(program, count, INTERFACES, wire)


@pytest.mark.parametrize("count", SIZES)
def test_datagrams_and_their_stand_in_agree_whatever_the_order(tmp_path: Path, count: int) -> None:
    program = transport_program(tmp_path, is_sanitized(count))
    run(program, count, "ip link set lo up", vma_library(tmp_path, is_sanitized(count)))
