"""Compile ``filter.bpf.c`` and write its instructions to ``program.h``: ``python c/bpf/generate.py``.

What is shipped is the program itself, so that building the plugin needs no clang and every machine runs what was
tested. ``--check`` compares instead of writing; instructions depend on the compiler, so only the clang version that
``program.h`` names gives the same.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ("filter.bpf.c", "maps.h")
MAPS = ("filters", "sockets", "counts")  # in the order of FL_XDP_MAP_*
LOAD_WIDE = 0x18  # BPF_LD | BPF_IMM | BPF_DW
PSEUDO_MAP = 1  # BPF_PSEUDO_MAP_FD

HEADER = """\
/* Written by generate.py from filter.bpf.c; do not edit.
 * clang: {clang}
 * source: {digest}
 */
#ifndef FL_XDP_PROGRAM_H
#define FL_XDP_PROGRAM_H

#include <linux/bpf.h>

/* A map's load has BPF_PSEUDO_MAP_FD as source and FL_XDP_MAP_* as value. */
static const struct bpf_insn fl_xdp_program[] = {{
{rows}
}};

#endif
"""


def clang_version(clang: str) -> str:
    """Return the major version, such as ``14``."""
    line = subprocess.run([clang, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return line.split("version ")[1].split(".")[0]


def digest() -> str:
    """Return the hash of the sources."""
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()


def compile_object(clang: str) -> bytes:
    """Return the ELF object."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "filter.o"
        multiarch = subprocess.run([clang, "-print-multiarch"], capture_output=True, text=True).stdout.strip()
        include = ["-idirafter", f"/usr/include/{multiarch or 'x86_64-linux-gnu'}"]
        arguments = ["-O2", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v2", *include]
        subprocess.run([clang, *arguments, "-c", str(HERE / "filter.bpf.c"), "-o", str(target)], check=True)
        return target.read_bytes()


def sections(elf: bytes) -> dict[str, tuple[bytes, int]]:
    """Return the content of each section and the number of the section that it links to."""
    table, _, _, _, _, entry, count, names = struct.unpack_from("<QIHHHHHH", elf, 40)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * entry) for i in range(count)]
    strings = headers[names][4]
    found = {}
    for name, _, _, _, offset, size, link, _, _, _ in headers:
        text = elf[strings + name : elf.index(b"\0", strings + name)].decode()
        found[text] = (elf[offset : offset + size], link)
    return found


def instructions(elf: bytes) -> list[tuple[int, int, int, int]]:
    """Return (code, registers, offset, value) of each instruction, with the maps' numbers in place."""
    parts = sections(elf)
    code = [list(struct.unpack_from("<BBhi", parts["xdp"][0], i)) for i in range(0, len(parts["xdp"][0]), 8)]
    symbols, strings = parts[".symtab"][0], parts[".strtab"][0]
    relocations = parts[".relxdp"][0]
    for i in range(0, len(relocations), 16):
        offset, info = struct.unpack_from("<QQ", relocations, i)
        (name,) = struct.unpack_from("<I", symbols, (info >> 32) * 24)
        row = code[offset // 8]
        assert row[0] == LOAD_WIDE, f"relocation at an instruction {row[0]:#x}"
        row[1] = row[1] & 0x0F | PSEUDO_MAP << 4
        row[3] = MAPS.index(strings[name : strings.index(b"\0", name)].decode())
    return [(a, b, c, d) for a, b, c, d in code]


def render(clang: str) -> str:
    """Return the text of ``program.h``."""
    rows = [
        f"    {{{code:#04x}, {registers & 15}, {registers >> 4}, {offset}, {value}}},"
        for code, registers, offset, value in instructions(compile_object(clang))
    ]
    return HEADER.format(clang=clang_version(clang), digest=digest(), rows="\n".join(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with program.h, write nothing")
    parser.add_argument("--clang", default="clang")
    chosen = parser.parse_args()
    target = HERE / "program.h"
    text = render(chosen.clang)
    if not chosen.check:
        target.write_text(text)
        return 0
    if target.read_text() == text:
        return 0
    print(f"{target.name} does not match {SOURCES[0]} compiled by {chosen.clang}: run {__file__}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
