"""Loading the native module, and why it cannot be loaded."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from framelane.errors import TransportError
from framelane.transport import Obstacle

__all__ = ["LEAST_DPDK", "load", "missing_native", "version_of"]

LEAST_DPDK = (21, 11)

_PACKAGES = "libdpdk-dev (Debian, Ubuntu) or dpdk-devel (Fedora, RHEL)"
_REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary framelane-dpdk framelane-dpdk"


def load() -> tuple[Any, Any]:
    """Return ``ffi`` and ``lib``.

    :raises TransportError: if the native module cannot be loaded, with why and what to do.
    """
    try:
        native = importlib.import_module("framelane_dpdk._native")
    except ImportError as error:
        obstacle = missing_native(error)
        raise TransportError(
            f"transport 'dpdk' needs {obstacle.asked}: {obstacle.found}; next: {obstacle.next}"
        ) from error
    return native.ffi, native.lib


def version_of(ffi: Any, lib: Any) -> tuple[int, int]:
    """Return year and month of the DPDK release that is loaded."""
    version = ffi.new("fl_dpdk_version_t *")
    lib.fl_dpdk_version(version)
    return version.loaded_year, version.loaded_month


def missing_native(error: ImportError) -> Obstacle:
    """Say why the native module cannot be loaded."""
    where = str(Path(__file__).parent)
    if importlib.util.find_spec("framelane_dpdk._native") is not None:
        library = re.search(r"(librte_\w+)\.so\.(\d+)", str(error))
        wanted = f"DPDK's libraries of ABI {library[2]}" if library else "the native module framelane_dpdk._native"
        return Obstacle(
            asked=f"{wanted}, which framelane-dpdk was compiled against" if library else wanted,
            found=str(error),
            where=where,
            next=f"install the DPDK that it was compiled with, or compile it with the one that is here: {_REINSTALL}",
        )
    asked = "the native module, which is compiled at installation against DPDK's headers"
    version = _header_version()
    if version is None:
        return Obstacle(
            asked=asked,
            found="there are no headers of DPDK (pkg-config knows no libdpdk)",
            where=where,
            next=f"install {_PACKAGES} and pkg-config, then: {_REINSTALL}",
        )
    if _parsed(version) < LEAST_DPDK:
        return Obstacle(
            asked=f"DPDK {LEAST_DPDK[0]}.{LEAST_DPDK[1]} or newer",
            found=f"DPDK {version} is too old",
            where="pkg-config --modversion libdpdk",
            next=f"install a newer DPDK with its headers, then: {_REINSTALL}",
        )
    return Obstacle(
        asked=asked,
        found=f"it was not compiled; DPDK {version} is here now",
        where=where,
        next=_REINSTALL,
    )


def _header_version() -> str | None:
    command = shutil.which("pkg-config")
    if command is None:
        return None
    done = subprocess.run([command, "--modversion", "libdpdk"], capture_output=True, text=True, check=False, timeout=1)
    return done.stdout.strip() if done.returncode == 0 else None


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
