"""Find the ef_vi SDK and describe how the native half is compiled against it, at installation or at any time later.

The SDK is the header files ``etherfabric/*.h`` and the static library ``libciul1.a``, which is linked in: there is no
promise between releases of the shared one (bypass 1.2). What differs between releases is found by compiling; no version
is compared.

Environment: ``FRAMELANE_EFVI_INCLUDE`` and ``FRAMELANE_EFVI_LIBRARY`` name another directory of headers and another
library. Besides those of :mod:`framelane_abi.build`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from framelane_abi.build import compile_arguments, describe_module, link_arguments

if TYPE_CHECKING:
    from cffi import FFI

__all__ = ["PACKAGES", "Sdk", "SdkNotFoundError", "describe", "features", "find_sdk"]

#: What has headers and library: the developer's part of Onload, by its name in RPM and Debian packages.
PACKAGES = "openonload-devel (RPM) or openonload-dev (Debian)"

_HEADERS = ("vi.h", "pd.h", "memreg.h", "pio.h", "capabilities.h", "efct_vi.h")
_LIBRARY = "libciul1.a"
_INCLUDE_PLACES = ("/usr/include", "/usr/local/include")
_LIBRARY_PLACES = ("/usr/lib64", "/usr/local/lib64", "/usr/lib", "/usr/local/lib")

#: Names that not every release has, each with what compiles where it is there.
_FEATURES = {
    "PRECISE_TIMESTAMP": "ef_vi* vi = 0; ef_precisetime t; return ef_vi_receive_get_precise_timestamp(vi, 0, &t);",
    "RX_REF": "return EF_EVENT_TYPE_RX_REF + EF_EVENT_TYPE_RX_REF_DISCARD + EF_VI_ARCH_EFCT;",
    "CAP_RX_REF": "return EF_VI_CAP_RX_REF;",
    "DISCARD_SUBTYPE": "return ef_vi_get_rx_discard_subtype_from_flags(0);",
    "EF10CT": "return EF_VI_ARCH_EF10CT;",
    "CTPIO_ONLY": "return EF_VI_CAP_CTPIO_ONLY;",
    "EXPRESS": "return EF_PD_EXPRESS + EF_VI_CAP_EXTRA_DATAPATHS + EF_VI_EXTRA_DATAPATH_EXPRESS;",
    "SHARED_RXQ": "return EF_FILTER_FLAG_SHARED_RXQ;",
    "EXCLUSIVE_RXQ": "return EF_FILTER_FLAG_EXCLUSIVE_RXQ;",
    "REQUEST_WAKEUPS": "return EF_FILTER_FLAG_REQUEST_WAKEUPS;",
    "TXQ_REINIT": "ef_vi* vi = 0; int id; ef_vi_for_each_tx_error_failed_transmit(vi, id) { return id; }"
    " return ef_vi_reinit_txq_post_error(vi);",
    "TPH": "return EF_VI_ENABLE_TPH == 0;",
}


class SdkNotFoundError(Exception):
    """Headers or library are not there; the message says which, and where they were looked for."""

    def __init__(self, missing: str, places: tuple[str, ...]) -> None:
        super().__init__(f"{missing} not found; looked in {', '.join(places)}")
        self.missing = missing
        self.places = places


@dataclass(frozen=True)
class Sdk:
    """Where the SDK is."""

    include: Path | None  #: directory that holds ``etherfabric``; ``None``: the compiler finds it by itself
    library: Path

    @property
    def include_arguments(self) -> list[str]:
        # As a system directory: warnings about the vendor's headers are not ours to heed.
        return [] if self.include is None else ["-isystem", str(self.include)]


def find_sdk(include: Path | None = None, library: Path | None = None) -> Sdk:
    """Look for headers and library.

    :param include: directory that holds ``etherfabric``; before the environment's and the usual places.
    :param library: the static library's file, likewise.
    :raises SdkNotFoundError: if either is missing, or headers do not compile.
    """
    if shutil.which(_compiler()[0]) is None:
        raise SdkNotFoundError("a C compiler", (f"PATH, as {_compiler()[0]}",))
    include = include or _path_of("FRAMELANE_EFVI_INCLUDE")
    library = library or _path_of("FRAMELANE_EFVI_LIBRARY")
    lines = "".join(f"#include <etherfabric/{header}>\n" for header in _HEADERS)
    arguments = [] if include is None else ["-isystem", str(include)]
    missing: list[str] = []
    places: list[str] = []
    if not _compiles(lines, arguments):
        missing.append(f"headers etherfabric/{', '.join(_HEADERS)}")
        places += [str(include)] if include is not None else ["the compiler's path", *_INCLUDE_PLACES]
    candidates = [library] if library is not None else list(_library_candidates())
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        missing.append(f"library {library or _LIBRARY}")
        places += [str(path.parent) for path in candidates]
    if missing or found is None:
        raise SdkNotFoundError(" and ".join(missing), tuple(places))
    return Sdk(include, found.resolve())


def features(sdk: Sdk) -> list[str]:
    """Return those names of ``_FEATURES`` that the headers have."""
    lines = "".join(f"#include <etherfabric/{header}>\n" for header in _HEADERS)
    return [
        name
        for name, statements in _FEATURES.items()
        if _compiles(f"{lines}int probe(void);\nint probe(void) {{ {statements} }}\n", sdk.include_arguments)
    ]


def describe(builder: FFI, project: Path, folder: str, sdk: Sdk) -> None:
    """Tell a new builder all of ``framelane_efvi._native``.

    :param project: what the paths of sources are relative to.
    :param folder: the directory ``c`` of this package, in the project.
    """
    macros = [f"-DFL_EFVI_HAS_{name}=1" for name in features(sdk)]
    describe_module(
        builder,
        "framelane_efvi._native",
        project,
        ["api/efvi.h"],
        folder=folder,
        # The headers use the extensions of GNU C.
        compile_args=[*compile_arguments("gnu11"), *sdk.include_arguments, *macros],
        link_args=[*link_arguments(), str(sdk.library)],
    )


def _path_of(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _library_candidates() -> Iterator[Path]:
    for place in _LIBRARY_PLACES[:2]:
        yield Path(place, _LIBRARY)
    # Where this machine's compiler looks, such as /usr/lib/x86_64-linux-gnu.
    triplet = _compiler_says("-print-multiarch")
    if triplet:
        yield Path("/usr/lib", triplet, _LIBRARY)
    for place in _LIBRARY_PLACES[2:]:
        yield Path(place, _LIBRARY)


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _compiler_says(argument: str) -> str:
    done = subprocess.run([*_compiler(), argument], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _compiles(text: str, arguments: list[str]) -> bool:
    flags = ["-std=gnu11", "-Werror=implicit-function-declaration", *shlex.split(os.environ.get("CPPFLAGS", ""))]
    command = [*_compiler(), *flags, *arguments, "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, input=text, text=True, capture_output=True, check=False).returncode == 0
