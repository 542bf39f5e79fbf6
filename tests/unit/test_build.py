"""What a plugin's build reads from its headers, and what it tells cffi."""

from __future__ import annotations

from pathlib import Path

import pytest
from cffi import FFI

from framelane_abi import get_include
from framelane_abi.build import compile_arguments, declarations, describe_module, link_arguments, pkg_config

#: Legal C, formatted so that what is looked at line by line goes wrong.
HOSTILE = r"""
#ifndef MINE_H
# define MINE_H
/* #define IN_A_COMMENT 1
#define ALSO_IN_A_COMMENT 2 */
#include <framelane/types.h>
#ifdef __cplusplus
extern "C" {
#endif
FL_BEGIN_DECLS
#  define SPACED   3   // and a comment
#define CONTINUED \
    4
#define COMMENTED 5 /* begins here,
                       and #define NO 6 ends here */
#define HEX (0x1FUL)
#define NEGATIVE ( -7 )
#define BRACKET (8
#define NAMED FEED
#define WITH_ARGUMENT(x) 9
#define TEXT "/* no comment"
#define GUARD
typedef struct mine
{
    char name[SPACED];   /* "a quote that is not closed */
    int /* of two */ pair[
        CONTINUED];
} mine_t;
static_assert(sizeof(mine_t) == (SPACED + 1) + 16, "a message; with ) and \"quotes\" (");
_Static_assert
    (1, "over lines"
    );
#if 0
typedef struct { not C at all
#else
mine_t *mine_open(const char *path, uint32_t *length);   // the one declaration, so far
#endif
#if defined(__cplusplus)
#define ONLY_CPP 10
}
#endif
FL_END_DECLS
#endif
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_cffi_takes_the_declarations_of_a_header_however_it_is_formatted(tmp_path: Path) -> None:
    text = declarations(write(tmp_path / "mine.h", HOSTILE))
    builder = FFI()
    builder.cdef(text)
    assert builder.typeof("mine_t").kind == "struct"
    assert builder.sizeof("mine_t") == 20
    defined = [line.removeprefix("#define ") for line in text.splitlines() if line.startswith("#")]
    assert defined == ["SPACED 3", "CONTINUED 4", "COMMENTED 5", "HEX 0x1F", "NEGATIVE -7"]
    assert "mine_open" in text


def test_every_header_of_the_abi_that_has_no_code_is_declared_whole(tmp_path: Path) -> None:
    builder = FFI()
    for name in ("types.h", "host.h", "transport.h", "port.h", "floor.h"):
        builder.cdef(declarations(Path(get_include()) / "framelane" / name))
    assert builder.sizeof("fl_run_t") == 72


def test_a_module_declares_what_its_header_includes_before_it(tmp_path: Path) -> None:
    write(tmp_path / "c/api/mine.h", '#include "api/first.h"\n#include <stdio.h>\nfirst_t *mine(fl_run_t *run);\n')
    write(tmp_path / "c/api/first.h", "#include <framelane/types.h>\ntypedef struct first { int a; } first_t;\n")
    write(tmp_path / "c/mine.c", '#include "api/mine.h"\nfirst_t *mine(fl_run_t *run) { (void)run; return 0; }\n')
    write(tmp_path / "c/tool/generate.c", "no part of it")
    builder = FFI()
    describe_module(builder, "mine._native", tmp_path, ["api/mine.h"])
    builder.emit_c_code(str(tmp_path / "_native.c"))
    included = [line for line in (tmp_path / "_native.c").read_text().splitlines() if line.startswith('#include "')]
    extension = builder.distutils_extension(str(tmp_path / "build"))
    assert included[:3] == ['#include "framelane/types.h"', '#include "api/first.h"', '#include "api/mine.h"']
    assert [Path(path).name for path in extension.sources if path.startswith("c/")] == ["mine.c"]
    assert {"c/api/mine.h", f"{get_include()}/framelane/types.h"} <= set(extension.depends)


def test_a_sanitizer_is_compiled_and_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMELANE_SANITIZE", "thread")
    monkeypatch.setenv("FRAMELANE_WERROR", "1")
    assert {"-std=gnu11", "-fsanitize=thread", "-Werror"} <= set(compile_arguments("gnu11"))
    assert link_arguments() == ["-fsanitize=thread"]


def test_an_unknown_sanitizer_is_refused_with_those_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMELANE_SANITIZE", "adress")
    with pytest.raises(SystemExit, match="'adress', and has to be one of address, debug, thread"):
        compile_arguments()


def test_a_library_that_pkg_config_does_not_know_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKG_CONFIG", "false")
    assert pkg_config("libmine", "--cflags") is None
    monkeypatch.setenv("PKG_CONFIG", "echo")
    assert pkg_config("libmine", "--cflags", "--libs") == "--cflags --libs libmine"
    monkeypatch.setenv("PKG_CONFIG", "/no/such/program")
    assert pkg_config("libmine") is None
