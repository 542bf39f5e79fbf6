"""What a plugin's build does with cffi: which declarations, which flags, which files.

For ``native_build.py`` of a plugin, and for nothing at run time. It needs the standard library alone, so a build that
requires ``framelane-abi`` has it.

Environment: ``FRAMELANE_WERROR=1`` turns warnings into errors; ``FRAMELANE_SANITIZE=address`` or ``thread`` builds for
that sanitizer, ``debug`` for a debugger and quickly; ``PKG_CONFIG`` names that program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from framelane_abi import get_include

__all__ = ["SANITIZERS", "compile_arguments", "declarations", "describe_module", "link_arguments", "pkg_config"]

#: The compiler's arguments by what ``FRAMELANE_SANITIZE`` says.
SANITIZERS = {
    "": ["-O3"],
    "debug": ["-O0"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "thread": ["-O1", "-fsanitize=thread", "-fno-omit-frame-pointer"],
}

_STRING = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
_COMMENT = re.compile(rf"({_STRING})|/\*.*?\*/|//[^\n]*", re.DOTALL)
_NUMBER = re.compile(r"define\s+(\w+)\s+(\(?)\s*(-?)\s*(0[xX][0-9A-Fa-f]+|[0-9]+)[uUlL]*\s*(\)?)$")
_NEVER = re.compile(r"if\s*(0$|def\s+__cplusplus$|defined\s*\(?\s*__cplusplus\s*\)?$)")


class Builder(Protocol):
    """What is used of ``cffi.FFI``."""

    def cdef(self, csource: str, /) -> None: ...

    def set_source(self, module_name: str, source: str, /, **arguments: Any) -> None: ...


def compile_arguments(standard: str = "c11") -> list[str]:
    """Return the compiler's arguments that every native half has.

    :param standard: of the language; ``gnu11`` where a library's headers need the compiler's extensions.
    :raises SystemExit: if ``FRAMELANE_SANITIZE`` is not known.
    """
    sanitizer = os.environ.get("FRAMELANE_SANITIZE", "")
    if sanitizer not in SANITIZERS:
        known = ", ".join(sorted(filter(None, SANITIZERS)))
        raise SystemExit(f"FRAMELANE_SANITIZE is '{sanitizer}', and has to be one of {known}, or unset")
    arguments = [f"-std={standard}", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-fvisibility=hidden"]
    arguments += SANITIZERS[sanitizer]
    if os.environ.get("FRAMELANE_WERROR"):
        arguments.append("-Werror")
    return arguments


def link_arguments() -> list[str]:
    """Return the linker's arguments that match :func:`compile_arguments`."""
    return [argument for argument in compile_arguments() if argument.startswith("-fsanitize")]


def pkg_config(package: str, *arguments: str) -> str | None:
    """Return what ``pkg-config`` answers for a library; ``None`` if there is none, or it says no."""
    command = os.environ.get("PKG_CONFIG") or "pkg-config"
    if shutil.which(command) is None:
        return None
    done = subprocess.run([command, *arguments, package], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def declarations(header: Path) -> str:
    """Return the declarations of a header as ``cffi.FFI.cdef`` takes them.

    Left out are comments, static assertions, what is for C++ alone or under ``#if 0``, and all directives but macros
    that are an integer. Other conditions are not looked at: what stands under them is kept.
    """
    # As the compiler does: lines are joined first, and a comment is a space.
    text = _COMMENT.sub(lambda match: match[1] or " ", re.sub(r"\\[ \t]*\n", "", header.read_text()))
    kept: list[str] = []
    conditions: list[bool] = []
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(.*?)\s*$", line)
        if directive is None:
            if all(conditions):
                kept.append(line.rstrip())
        elif directive[1].startswith("if"):
            conditions.append(_NEVER.match(directive[1]) is None)
        elif directive[1].startswith("el"):
            conditions[-1] = True
        elif directive[1].startswith("endif"):
            conditions.pop()
        elif all(conditions) and (number := _NUMBER.match(directive[1])) and bool(number[2]) == bool(number[5]):
            kept.append(f"#define {number[1]} {number[3]}{number[4]}")
    text = re.sub(r"\bFL_(BEGIN|END)_DECLS\b", "", "\n".join(kept))
    return re.sub(r"\n\s*\n+", "\n", _without_assertions(text)).strip() + "\n"


def describe_module(
    builder: Builder,
    name: str,
    project: Path,
    headers: Iterable[str],
    *,
    folder: str = "c",
    sources: str = "*.c",
    compile_args: Sequence[str] | None = None,
    link_args: Sequence[str] | None = None,
    libraries: Sequence[str] = (),
) -> None:
    """Tell a new ``cffi.FFI`` all of a native half: its declarations, and how it is compiled.

    :param name: of the module, such as ``framelane_mine._native``.
    :param project: the directory of ``setup.py``.
    :param headers: what Python is to see, as the sources include it, such as ``api/mine.h`` in ``folder``. What these
        include of their own and of ``framelane/`` is seen as well.
    :param folder: of the C sources, in the project; it is on the include path, as the ABI's headers are.
    :param sources: which files of the folder are compiled, a pattern.
    :param compile_args: instead of :func:`compile_arguments`.
    :param link_args: instead of :func:`link_arguments`.
    :param libraries: to link with, without ``-l``.
    """
    source, abi = project / folder, Path(get_include())
    ordered = _in_dependency_order(headers, source, abi)
    for path in ordered.values():
        builder.cdef(declarations(path))
    builder.set_source(
        name,
        # cffi's own code is not ours to keep free of these.
        "".join(f'#include "{one}"\n' for one in ordered) + '#pragma GCC diagnostic ignored "-Wextra"\n',
        sources=[os.path.relpath(path, project) for path in sorted(source.glob(sources))],
        depends=[os.path.relpath(path, project) for path in sorted(source.rglob("*.h"))]
        + [str(path) for path in sorted(abi.rglob("*.h"))],
        include_dirs=[str(abi), os.path.relpath(source, project)],
        libraries=list(libraries),
        extra_compile_args=list(compile_arguments() if compile_args is None else compile_args),
        extra_link_args=list(link_arguments() if link_args is None else link_args),
    )


def _without_assertions(text: str) -> str:
    """Return declarations without static assertions, whose messages may hold anything."""
    while (begin := re.search(r"\b(static_assert|_Static_assert)\s*\(", text)) is not None:
        depth, end = 1, begin.end()
        for token in re.compile(rf"{_STRING}|[()]").finditer(text, end):
            depth += {"(": 1, ")": -1}.get(token[0], 0)
            end = token.end()
            if depth == 0:
                break
        text = text[: begin.start()] + re.sub(r"^\s*;", "", text[end:])
    return text


def _in_dependency_order(headers: Iterable[str], source: Path, abi: Path) -> dict[str, Path]:
    """Return headers and what they include of ours, by name, each behind those that it includes, as cffi needs it."""
    ordered: dict[str, Path] = {}

    def path_of(name: str) -> Path | None:
        return next((root / name for root in (source, abi) if (root / name).is_file()), None)

    def visit(name: str, path: Path) -> None:
        text = _COMMENT.sub(lambda match: match[1] or " ", path.read_text())
        for included in re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', text, flags=re.MULTILINE):
            if included not in ordered and (found := path_of(included)) is not None:
                visit(included, found)
        ordered[name] = path

    for header in headers:
        if header not in ordered:
            visit(header, path_of(header) or source / header)
    return ordered
