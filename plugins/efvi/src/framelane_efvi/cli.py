"""``framelane efvi``: build the native half where the SDK came later than the plugin."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from framelane.errors import FramelaneError
from framelane_efvi.build import PACKAGES, Sdk, SdkNotFoundError, describe, features, find_sdk

__all__ = ["build_module", "make_app"]

_PACKAGE = Path(__file__).parent
#: As an installation calls it: cffi keeps to the stable ABI, so it takes the place of an older one of any Python 3.
_MODULE = "_native.abi3.so"


def make_app() -> typer.Typer:
    """Return the sub-commands of ``framelane efvi``."""
    app = typer.Typer(no_args_is_help=True, help="The ef_vi transport: build it against the installed SDK.")

    @app.callback()
    def _sub_commands() -> None:
        """With one command alone, typer would take its name away."""

    @app.command("build")
    def build(
        include: Annotated[
            Path | None, typer.Option("--include", metavar="DIR", help="Directory that holds etherfabric/vi.h.")
        ] = None,
        library: Annotated[
            Path | None, typer.Option("--library", metavar="FILE", help="The static library libciul1.a.")
        ] = None,
    ) -> None:
        """Compile the native half against the SDK that is installed now, and put it in its place."""
        try:
            sdk = find_sdk(include, library)
        except SdkNotFoundError as error:
            raise FramelaneError(f"{error}; install {PACKAGES}, or name them with --include and --library") from error
        print(f"headers  {sdk.include or 'of the system'}\nlibrary  {sdk.library}")
        print(f"has      {', '.join(features(sdk)).lower() or 'nothing beyond the oldest release'}", flush=True)
        built = build_module(sdk, _PACKAGE)
        print(f"built    {built}\nnext     framelane transports --verbose")

    return app


def build_module(sdk: Sdk, target: Path) -> Path:
    """Compile ``_native`` into a directory, in place of the one there; a process that has that loaded keeps it.

    :raises FramelaneError: if it does not compile or the directory cannot be written.
    """
    from cffi import FFI, VerificationError

    with tempfile.TemporaryDirectory(prefix="framelane-efvi-") as directory:
        work = Path(directory)
        shutil.copytree(_PACKAGE / "c", work / "c")
        builder = FFI()
        describe(builder, work, "c", sdk)
        try:
            made = Path(builder.compile(tmpdir=directory, verbose=False))
        except VerificationError as error:
            raise FramelaneError(f"the native half does not compile against {sdk.library}: {error}") from error
        built = target / _MODULE
        beside = target / f".{_MODULE}.{os.getpid()}"
        try:
            shutil.copyfile(made, beside)
            beside.replace(built)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise FramelaneError(f"built, but {target} cannot be written: {error}; run it as the owner") from error
    return built
