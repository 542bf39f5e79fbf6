"""What Linux knew of an interface before DPDK took its device, kept so that configuration is one line and ``restore``
gives back what was there.

One JSON file a device, named by its PCI address, in the directory of :func:`state_directory`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from framelane.errors import FramelaneError

__all__ = [
    "DEFAULT_STATE_DIRECTORY",
    "STATE_DIRECTORY_VARIABLE",
    "SavedInterface",
    "SavedRoute",
    "SavedStateError",
    "find",
    "forget",
    "is_pci_address",
    "load",
    "save",
    "state_directory",
    "write_document",
]

DEFAULT_STATE_DIRECTORY = Path("/var/lib/framelane/dpdk")
#: Names another directory; for tests and for containers with a read-only file system.
STATE_DIRECTORY_VARIABLE = "FRAMELANE_DPDK_STATE_DIRECTORY"

_FORMAT = 1
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]")
_INTERFACE_NAME = re.compile(r"[^\s/:]{1,15}")


class SavedStateError(FramelaneError):
    """A saved state that cannot be written, read, or is none."""


@dataclass(frozen=True)
class SavedRoute:
    """One route through the interface.

    :raises ValueError: if one of its parts is no address or network, or they are of different families.
    """

    to: str  #: network, such as ``10.2.0.0/16``
    via: str | None = None  #: gateway; ``None``: directly attached
    source: str | None = None  #: preferred source address
    metric: int | None = None

    def __post_init__(self) -> None:
        versions = {ip_network(self.to).version}
        versions |= {ip_address(one).version for one in (self.via, self.source) if one is not None}
        if len(versions) != 1:
            raise ValueError(f"route to {self.to}: via {self.via} and source {self.source} are of another family")


@dataclass(frozen=True)
class SavedInterface:
    """An interface as it was under Linux.

    :raises ValueError: if a name or an address is none, or the MTU is out of range.
    """

    pci_address: str  #: with domain, in lower case: ``0000:03:00.0``
    interface: str  #: its name under Linux
    addresses: tuple[str, ...] = ()  #: with prefix length, ``10.1.0.5/24``
    gateway: tuple[str, ...] = ()  #: default gateways through it, at most one for each family
    routes: tuple[SavedRoute, ...] = ()  #: every other route through it that Linux did not make by itself
    mtu: int = 1500
    driver: str | None = None  #: kernel driver that it was bound to
    is_up: bool = True
    mac: str | None = None

    def __post_init__(self) -> None:
        if not is_pci_address(self.pci_address):
            raise ValueError(f"{self.pci_address!r} is no PCI address such as 0000:03:00.0")
        if not _INTERFACE_NAME.fullmatch(self.interface):
            raise ValueError(f"{self.interface!r} is no interface name")
        for address in self.addresses:
            ip_interface(address)
        for gateway in self.gateway:
            ip_address(gateway)
        if not 68 <= self.mtu <= 65535:
            raise ValueError(f"mtu {self.mtu} is not in 68 to 65535")


def is_pci_address(text: str) -> bool:
    """Whether the text is a PCI address with its domain, in lower case; only such a one ever becomes a path."""
    return _PCI_ADDRESS.fullmatch(text) is not None


def state_directory() -> Path:
    """Return where states are kept; it need not exist."""
    return Path(os.environ.get(STATE_DIRECTORY_VARIABLE) or DEFAULT_STATE_DIRECTORY)


def load(pci_address: str) -> SavedInterface | None:
    """Return what was kept of a device; ``None`` if nothing was.

    :raises SavedStateError: if the file cannot be read or does not hold a state of this device.
    """
    path = _path(pci_address)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SavedStateError(f"saved interface of {pci_address}: {path} cannot be read: {error}") from error
    try:
        saved = _decode(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SavedStateError(
            f"saved interface of {pci_address}: {path} is damaged ({error}); delete it and configure addresses by hand"
        ) from error
    if saved.pci_address != pci_address:
        raise SavedStateError(f"saved interface of {pci_address}: {path} is that of {saved.pci_address}; delete it")
    return saved


def find(interface: str) -> SavedInterface | None:
    """Return what was kept of the device that was this interface of Linux; ``None`` if nothing was.

    :raises SavedStateError: if a state is damaged.
    """
    for path in sorted(state_directory().glob("*.json")):
        saved = load(path.stem) if is_pci_address(path.stem) else None
        if saved is not None and saved.interface == interface:
            return saved
    return None


def save(saved: SavedInterface) -> Path:
    """Keep a state in place of an older one. Returns the file.

    :raises SavedStateError: if it cannot be written.
    """
    return write_document(_path(saved.pci_address), {"format": _FORMAT, **asdict(saved)})


def write_document(path: Path, document: Mapping[str, object]) -> Path:
    """Write a file as JSON in place of an older one, whole or not at all, also if the machine loses power.

    :raises SavedStateError: if it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(document, indent=2) + "\n")
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise SavedStateError(f"{path} cannot be written: {error}") from error
    return path


def forget(pci_address: str) -> None:
    """Delete what was kept of a device, if anything was.

    :raises SavedStateError: if that fails.
    """
    path = _path(pci_address)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SavedStateError(f"saved interface of {pci_address}: {path} cannot be deleted: {error}") from error


def _path(pci_address: str) -> Path:
    if not is_pci_address(pci_address):
        raise SavedStateError(f"{pci_address!r} is no PCI address such as 0000:03:00.0")
    return state_directory() / f"{pci_address}.json"


def _decode(document: Any) -> SavedInterface:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}, this release reads {_FORMAT}")
    fields = {name: value for name, value in document.items() if name != "format"}
    for name in ("addresses", "gateway"):
        fields[name] = tuple(fields[name])
    fields["routes"] = tuple(SavedRoute(**route) for route in fields["routes"])
    return SavedInterface(**fields)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
