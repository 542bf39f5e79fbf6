"""Compare a stand-in's headers with those of a vendor's SDK: every name, type, value and offset that the stand-in has.

    tools/check_vendor_headers.py SET.toml DIR [--used-in PATH ...] [--older]

``SET.toml`` describes the stand-in: its headers and what cannot be seen from them. ``DIR`` is the SDK's include
directory. What the stand-in declares is read with pycparser; small programs that print sizes, values, the bits of each
field and what each macro yields are compiled against both header sets, and their output is compared. Neither vendor
headers nor anything of them is kept.

Ends with status 0 if nothing differs; with ``--older``, if what both have means the same.
docs/vendor-headers.md describes the keys of a set.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycparser import CParser, c_ast, c_generator

#: What GNU C has in its headers and a parser of plain C does not know.
_PLAIN = [
    "-D__attribute__(x)=",
    "-D__extension__=",
    "-D__restrict=",
    "-D__inline=inline",
    "-D__inline__=inline",
    "-D__signed__=signed",
    "-D__asm__(x)=",
    "-D__const=const",
    "-D__volatile__=volatile",
    "-D__builtin_va_list=int",
    "-D_Noreturn=",
    "-D_Float128=double",
    "-D__typeof__(x)=int",
]
#: What the compiler says of a name that it does not know, and a probe of a macro that is not there.
_ABSENT = re.compile(
    r"undeclared|no member|incomplete type|implicit declaration|not defined$|unknown type|expected expression before"
)
_DIAGNOSTIC = re.compile(r"^([^\s:][^:]*):(\d+):\d+: (error|warning|note): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Set:
    """A stand-in's headers, and what cannot be seen from them."""

    include: Path
    headers: Sequence[str]
    #: Macros that yield no value: attributes, keywords, types.
    words: frozenset[str]
    #: The types of the arguments of macros that are called like functions.
    calls: Mapping[str, Sequence[str]]
    #: The type whose bits macros read that take one argument, by the macros' prefix.
    readers: Mapping[str, str]
    #: What the interface's names begin with, to find them in a program.
    prefixes: Sequence[str]
    #: Counts that grow with each release.
    counts: frozenset[str]
    #: Fields whose type the stand-in leaves out.
    untyped: frozenset[str]
    #: A program's own declarations of the interface, and what each is by the vendor's names: both are expressions of C.
    own_header: Path | None
    own_equal: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Set:
        with path.open("rb") as file:
            raw = tomllib.load(file)
        return cls(
            path.parent / raw["include"],
            raw["headers"],
            frozenset(raw.get("words", ())),
            raw.get("calls", {}),
            raw.get("readers", {}),
            raw.get("prefixes", ()),
            frozenset(raw.get("counts", ())),
            frozenset(raw.get("untyped", ())),
            (path.parent / raw["own"]["header"]).resolve() if "own" in raw else None,
            raw.get("own", {}).get("equal", {}),
        )


@dataclass
class Probe:
    """One question about a name: statements of C that print the answer, and what they need before them."""

    name: str
    statements: str
    prelude: str = ""
    #: Whether the answer is about memory, which a program that is compiled against the SDK need not know.
    is_layout: bool = False


class Compiler:
    """The C compiler over one set of headers."""

    def __init__(self, include: Path, headers: Sequence[str], compiler: str) -> None:
        self._include = include
        self._compiler = compiler
        self._lines = "".join(f"#include <{header}>\n" for header in headers)

    def run(self, *flags: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self._compiler, "-std=gnu11", f"-I{self._include}", *flags, "-x", "c", "-"]
        source = self._lines if text is None else text
        return subprocess.run(command, input=source, capture_output=True, text=True, check=False, timeout=120)

    def preprocess(self, *flags: str) -> str:
        done = self.run("-E", *flags)
        if done.returncode != 0:
            raise SystemExit(f"the headers in {self._include} cannot be read:\n{done.stderr}")
        return done.stdout

    def ask(self, probes: Sequence[Probe]) -> dict[str, list[str]]:
        """Answer each probe; one that does not compile is answered by the compiler's message."""
        answers: dict[str, list[str]] = {}
        left = list(probes)
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "probe"
            while left:
                text = "#include <stdio.h>\n#include <stddef.h>\n#include <string.h>\n" + self._lines + _HELPERS
                text += "".join(probe.prelude for probe in left) + "int main(void)\n{\n"
                for number, probe in enumerate(left, 1):
                    text += f'#line {number} "probe"\n{{ {probe.statements} }}\n'
                text += "return 0; }\n"
                flags = ["-fmax-errors=0", "-Werror=incompatible-pointer-types", "-Werror=int-conversion"]
                flags += ["-Werror=implicit-function-declaration", "-o", str(program)]
                done = self.run(*flags, "-no-pie", "-Wl,-z,lazy,--unresolved-symbols=ignore-all", text=text)
                if done.returncode == 0:
                    break
                failed = _failed(done.stderr)
                if not failed:
                    raise SystemExit(f"the probes do not compile:\n{done.stderr}")
                for number, message in failed.items():
                    answers[left[number - 1].name] = [message]
                left = [probe for number, probe in enumerate(left, 1) if number not in failed]
            printed = (
                subprocess.run([program], capture_output=True, text=True, check=True, timeout=60).stdout if left else ""
            )
        for line in printed.splitlines():
            name, _, answer = line.partition("\t")
            answers.setdefault(name, []).append(answer)
        return answers


_HELPERS = r"""
static void fl_bytes(const char *name, const void *at, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)at;
    printf("%s\tbits", name);
    for (size_t i = 0; i < length; i++)
        if (bytes[i]) printf(" %zu:%02x", i, bytes[i]);
    printf("\n");
}
static void fl_pattern(void *at, size_t length, unsigned seed)
{
    unsigned char *bytes = (unsigned char *)at;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(seed == 0 ? 0xff : (i * 37 + 11) * seed >> 1);
}
"""


def _failed(messages: str) -> dict[int, str]:
    """Return the compiler's errors by probe. One inside a macro is where the macro is, and a note says who used it."""
    failed: dict[int, str] = {}
    error = None
    for file, line, kind, text in _DIAGNOSTIC.findall(messages):
        if kind != "note":
            error = text if kind == "error" else None
        if file == "probe" and error is not None:
            failed.setdefault(int(line), error)
    return failed


class Names:
    """What the stand-in's headers declare, as probes."""

    def __init__(self, described: Set, compiler: Compiler) -> None:
        self._set = described
        self._generator = c_generator.CGenerator()
        self.probes: list[Probe] = []
        marked = compiler.preprocess(*_PLAIN)
        tree = CParser().parse(re.sub(r"^#(pragma|ident).*$", "", marked, flags=re.MULTILINE))
        own = str(described.include)
        for node in tree.ext:
            if node.coord is not None and str(node.coord.file).startswith(own):
                self._external(node)
        self._macros(compiler)

    def _add(self, name: str, statements: str, is_layout: bool = False) -> None:
        self.probes.append(Probe(name, statements, is_layout=is_layout))

    def _external(self, node: c_ast.Node) -> None:
        if isinstance(node, c_ast.FuncDef):
            node = node.decl
        if isinstance(node, c_ast.Typedef):
            self._type(node.name, node.type)
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            self._is_compatible(f"{node.name}()", node.name, self._text(node.type))
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Struct | c_ast.Union) and node.type.decls:
            kind = "struct" if isinstance(node.type, c_ast.Struct) else "union"
            self._struct(f"{kind} {node.type.name}", node.type)
        elif isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Enum):
            self._enum(node.type)

    def _text(self, node: c_ast.Node) -> str:
        """A type without the name that it declares."""
        text = self._generator.visit(c_ast.Typename(None, [], None, _without_name(node)))
        return str(text)

    def _is_compatible(self, name: str, expression: str, text: str) -> None:
        self._add(
            name,
            f"_Static_assert(__builtin_types_compatible_p(__typeof__({expression}), __typeof__({text})), "
            f'"is not {text}"); printf("%s\\tis {text}\\n", "{name}");',
        )

    def _type(self, name: str, node: c_ast.Node) -> None:
        inner = node.type if isinstance(node, c_ast.TypeDecl) else node
        if isinstance(inner, c_ast.Struct | c_ast.Union) and inner.decls:
            self._struct(name, inner)
        elif isinstance(inner, c_ast.Enum):
            self._enum(inner)
        else:
            self._is_compatible(name, name, self._text(node))

    def _enum(self, node: c_ast.Enum) -> None:
        if node.name is not None:
            name = f"enum {node.name}"
            self._add(name, f'printf("{name}\\t%zu bytes\\n", sizeof({name}));', is_layout=True)
        for one in node.values.enumerators if node.values is not None else ():
            self._value(one.name)

    def _value(self, name: str) -> None:
        self._add(name, f'printf("{name}\\t%lld\\n", (long long)({name}));', is_layout=name in self._set.counts)

    def _struct(self, name: str, node: c_ast.Struct | c_ast.Union) -> None:
        self._add(
            name, f'printf("{name}\\t%zu bytes, aligned to %zu\\n", sizeof({name}), _Alignof({name}));', is_layout=True
        )
        for path, kind in self._fields("", node):
            label = f"{name}.{path}"
            if isinstance(kind, c_ast.PtrDecl | c_ast.ArrayDecl) and label not in self._set.untyped:
                self._is_compatible(f"{label} type", f"(({name} *)0)->{path}", self._text(kind))
            if kind is None:
                statements = f'{name} x; memset(&x, 0, sizeof(x)); x.{path} = -1; fl_bytes("{label}", &x, sizeof(x)); '
                statements += f'printf("{label}\\t%s\\n", x.{path} < 0 ? "signed" : "unsigned");'
            else:
                statements = f'printf("{label}\\tat %zu\\n", offsetof({name}, {path}));'
            self._add(label, statements, is_layout=True)

    def _fields(self, prefix: str, node: c_ast.Struct | c_ast.Union) -> Iterator[tuple[str, c_ast.Node | None]]:
        """Each field's path, and its type unless it is a number or a bit-field."""
        for one in node.decls:
            if one.name is None or one.name.lstrip("_").startswith("reserved"):
                continue
            path = f"{prefix}{one.name}"
            inner = one.type.type if isinstance(one.type, c_ast.TypeDecl) else one.type
            if isinstance(inner, c_ast.Struct | c_ast.Union) and inner.decls:
                yield from self._fields(f"{path}.", inner)
            elif isinstance(inner, c_ast.Enum) or self._is_number(inner):
                yield path, None
            else:
                yield path, one.type

    def _is_number(self, node: c_ast.Node) -> bool:
        structured = {probe.name for probe in self.probes if "aligned to" in probe.statements}
        return isinstance(node, c_ast.IdentifierType) and structured.isdisjoint(node.names)

    def _macros(self, compiler: Compiler) -> None:
        for name, parameters, body in _macros_of(compiler.preprocess("-dD"), str(self._set.include)):
            if name.startswith("FL_"):
                continue
            if name in self._set.words:
                prelude = (
                    f"#ifdef {name}\nenum {{ FL_HAS_{name} = 1 }};\n#else\nenum {{ FL_HAS_{name} = 0 }};\n#endif\n"
                )
                statements = f'printf("{name}\\t%s\\n", FL_HAS_{name} ? "defined" : "not defined");'
                self.probes.append(Probe(name, statements, prelude))
            elif parameters is None:
                is_text = body.startswith('"')
                self._add(name, f'printf("{name}\\t%s\\n", {name});') if is_text else self._value(name)
            elif name in self._set.calls:
                self._call(name, self._set.calls[name])
            else:
                self._reader(name)

    def _call(self, name: str, types: Sequence[str]) -> None:
        arguments = " ".join(f"__typeof__({kind}) a{i} = {{0}};" for i, kind in enumerate(types))
        passed = ", ".join(f"a{i}" for i in range(len(types)))
        call = f"{name}({passed})"
        takes = f'printf("{name}()\\ttakes {", ".join(types)}\\n");'
        self._add(f"{name}()", f"{arguments} if (a0 == (void *)8) {{ (void)({call}); }} {takes}")

    def _reader(self, name: str) -> None:
        for prefix, kind in self._set.readers.items():
            if name.startswith(prefix):
                self._add(
                    name,
                    f"for (unsigned seed = 0; seed < 8; seed++) {{ {kind} x; fl_pattern(&x, sizeof(x), seed); "
                    f'printf("{name}\\t%llx\\n", (unsigned long long)({name}(x))); }}',
                    is_layout=True,
                )
                return
        raise SystemExit(f"the set does not say what {name}() takes: add it under [calls], [readers] or words")


def _without_name(node: c_ast.Node) -> c_ast.Node:
    """A copy of a declared type whose innermost part declares no name."""
    if isinstance(node, c_ast.TypeDecl):
        return c_ast.TypeDecl(None, node.quals, node.align, node.type)
    if isinstance(node, c_ast.PtrDecl):
        return c_ast.PtrDecl(node.quals, _without_name(node.type))
    if isinstance(node, c_ast.ArrayDecl):
        return c_ast.ArrayDecl(_without_name(node.type), node.dim, node.dim_quals)
    if isinstance(node, c_ast.FuncDecl):
        return c_ast.FuncDecl(node.args, _without_name(node.type))
    return node


def _macros_of(text: str, folder: str) -> Iterator[tuple[str, str | None, str]]:
    """Each macro that a file below the folder defines: name, parameters or ``None``, text."""
    current = ""
    define = re.compile(r"#define (\w+)(\([^)]*\))?\s*(.*)")
    for line in text.splitlines():
        moved = re.match(r'# \d+ "([^"]*)"', line)
        if moved:
            current = moved.group(1)
        found = define.match(line)
        if found and current.startswith(folder) and not found.group(1).startswith("FL_"):
            yield found.group(1), found.group(2), found.group(3)


@dataclass
class Comparison:
    """What was found, a line each."""

    compared: int
    #: The same name means something else, or is not in the stand-in at all.
    differences: list[str]
    #: The SDK has no such name.
    absent: list[str]
    #: A program compiles all the same: sizes, offsets, counts.
    layout: list[str]


def compare(described: Set, other: Path, names: Sequence[str], compiler: str) -> Comparison:
    """Compare a stand-in's headers with those of an include directory, and with the names that programs use."""
    mine = Compiler(described.include, described.headers, compiler)
    theirs = Compiler(other, described.headers, compiler)
    known = Names(described, mine)
    own = mine.ask(known.probes)
    found = theirs.ask(known.probes)
    result = Comparison(len(known.probes), [], [], [])
    for probe in known.probes:
        if own.get(probe.name) == found.get(probe.name):
            continue
        said = ["; ".join(answers.get(probe.name, ["nothing"])) for answers in (own, found)]
        if _ABSENT.search(said[1]):
            result.absent.append(probe.name)
        else:
            line = f"{probe.name}: the stand-in has {said[0]}; the SDK has {said[1]}"
            (result.layout if probe.is_layout else result.differences).append(line)
    questions = own_questions(described)
    for name, answers in theirs.ask(questions).items():
        if answers != ["equal"]:
            result.differences.append(f"{name}: {'; '.join(answers)}")
    result.compared += len(questions)
    declared = {re.split(r"[. (]", re.sub(r"^(enum|struct) ", "", probe.name))[0] for probe in known.probes}
    used = [f"{name}: is used, and the stand-in does not have it" for name in names if name not in declared]
    result.differences += used
    return result


def own_questions(described: Set) -> list[Probe]:
    """Whether a program's own declarations say what the SDK's do."""
    return [
        Probe(
            f"{mine} is {theirs}",
            f'long long a = (long long)({mine}), b = (long long)({theirs}); printf("{mine} is {theirs}\\t"); '
            f'if (a == b) puts("equal"); else printf("%lld, and the SDK has %lld\\n", a, b);',
            f'#include "{described.own_header}"\n',
        )
        for mine, theirs in described.own_equal.items()
    ]


def names_in(path: Path, prefixes: Sequence[str]) -> set[str]:
    """Return the names with one of the prefixes that the C sources at or below a path use."""
    found: set[str] = set()
    wanted = re.compile(rf"\b(?:{'|'.join(map(re.escape, prefixes))})\w*[^\W_]\b")
    unread = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|^\s*#\s*include[^\n]*', re.DOTALL | re.MULTILINE)
    for source in [path] if path.is_file() else sorted(path.rglob("*.[ch]")):
        found.update(wanted.findall(unread.sub(" ", source.read_text())))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("set", type=Path, help="the stand-in's description, such as tests/vendor/ciul/headers.toml")
    parser.add_argument("directory", type=Path, help="the SDK's include directory")
    parser.add_argument("--used-in", type=Path, action="append", default=[], help="C sources, or folders of them")
    parser.add_argument("--compiler", default="cc")
    parser.add_argument(
        "--older",
        action="store_true",
        help="the SDK is of another release than the stand-in: what it lacks and its layout are told and no failure",
    )
    options: Any = parser.parse_args(arguments)
    described = Set.read(options.set)
    if not (options.directory / described.headers[0]).exists():
        print(f"{options.directory} has no {described.headers[0]}: name the SDK's include directory", file=sys.stderr)
        return 2
    names = sorted(set().union(*(names_in(path, described.prefixes) for path in options.used_in)))
    found = compare(described, options.directory, names, options.compiler)
    kinds = (("differs", found.differences), ("absent", found.absent), ("layout", found.layout))
    for kind, lines in kinds:
        for line in lines:
            print(f"{kind}: {line}")
    print(f"{found.compared} declarations compared: " + ", ".join(f"{len(lines)} {kind}" for kind, lines in kinds))
    is_same = not found.differences and (options.older or not (found.absent or found.layout))
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
