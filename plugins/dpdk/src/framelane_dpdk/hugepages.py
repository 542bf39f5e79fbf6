"""Huge pages of each size on each NUMA node: what is reserved, and how to reserve more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framelane_dpdk.pci import BindingError
from framelane_dpdk.steps import Action, Step, Write

__all__ = ["Mount", "Pool", "format_size", "mounts", "parse_size", "plan_reserve", "pools"]

_DIRECTORY = re.compile(r"hugepages-(\d+)kB")
_NODE = re.compile(r"node(\d+)")
_SIZE = re.compile(r"(\d+)\s*([kKmMgG])(?:i?[bB])?")
_UNIT_KIB = {"k": 1, "m": 1024, "g": 1024 * 1024}


@dataclass(frozen=True)
class Pool:
    """The pages of one size on one node."""

    node: int
    size_kib: int
    total: int
    free: int
    path: Path  #: its directory in sysfs

    @property
    def used(self) -> int:
        return self.total - self.free

    @property
    def label(self) -> str:
        return f"{format_size(self.size_kib)} pages on node {self.node}"


@dataclass(frozen=True)
class Mount:
    """A hugetlbfs."""

    path: str
    size_kib: int | None  #: ``None``: the default size


def parse_size(text: str) -> int:
    """Return a page size, such as ``2M``, in KiB.

    :raises BindingError: if it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BindingError(f"page size {text!r}: it is not a number with a unit, such as 2M or 1G")
    return int(match[1]) * _UNIT_KIB[match[2].lower()]


def format_size(size_kib: int) -> str:
    """Return a page size as people write it."""
    for unit, factor in (("GiB", 1024 * 1024), ("MiB", 1024)):
        if size_kib % factor == 0:
            return f"{size_kib // factor} {unit}"
    return f"{size_kib} KiB"


def pools(sysfs: Path) -> list[Pool]:
    """Return every pool, by node and size; none if the kernel has no huge pages."""
    return sorted(_read_pools(sysfs), key=lambda pool: (pool.node, pool.size_kib))


def mounts(proc: Path) -> list[Mount]:
    """Return the mounted hugetlbfs. DPDK needs none when it runs with ``--in-memory``."""
    found = []
    for line in (proc / "self/mounts").read_text().splitlines():
        _, path, kind, options, *_ = line.split()
        if kind == "hugetlbfs":
            sizes = [one.removeprefix("pagesize=") for one in options.split(",") if one.startswith("pagesize=")]
            found.append(Mount(path, parse_size(sizes[0]) if sizes else None))
    return found


def plan_reserve(sysfs: Path, count: int, *, size_kib: int | None, node: int | None) -> list[Step]:
    """Return the steps that make a pool hold ``count`` pages; they fail, and are taken back, if the kernel finds fewer.

    :param size_kib: ``None``: the smallest size there is, usually 2 MiB.
    :param node: ``None``: the only node of the machine.
    :raises BindingError: if there is no such pool, or more of its pages are in use.
    """
    pool = _choose(pools(sysfs), size_kib, node)
    if count < pool.used:
        raise BindingError(
            f"{count} {pool.label}: {pool.used} are in use; end the programs that have them, or leave at least those"
        )
    path = pool.path / "nr_hugepages"

    def check() -> None:
        found = int(path.read_text())
        if found != count:
            raise BindingError(
                f"the kernel found {found}; memory is in use or fragmented. Ask for at most {found}, free memory, or "
                f"reserve them at boot (kernel parameters hugepagesz={pool.size_kib}K hugepages={count})"
            )

    write = Write(path, str(count), taken_back_by=(Write(path, str(pool.total)),))
    return [write, Action(f"check that {path} is {count}", check)]


def _read_pools(sysfs: Path) -> Iterator[Pool]:
    nodes = sysfs / "devices/system/node"
    found = False
    for entry in nodes.iterdir() if nodes.is_dir() else ():
        match = _NODE.fullmatch(entry.name)
        if match is not None:
            for pool in _read_node(entry / "hugepages", int(match[1])):
                found = True
                yield pool
    if not found:  # a kernel without NUMA
        yield from _read_node(sysfs / "kernel/mm/hugepages", 0)


def _read_node(directory: Path, node: int) -> Iterator[Pool]:
    for entry in directory.iterdir() if directory.is_dir() else ():
        match = _DIRECTORY.fullmatch(entry.name)
        if match is not None:
            total, free = (int((entry / name).read_text()) for name in ("nr_hugepages", "free_hugepages"))
            yield Pool(node, int(match[1]), total, free, entry)


def _choose(found: list[Pool], size_kib: int | None, node: int | None) -> Pool:
    if not found:
        raise BindingError("huge pages: this kernel has none (CONFIG_HUGETLBFS), or /sys does not show them")
    nodes, sizes = sorted({pool.node for pool in found}), sorted({pool.size_kib for pool in found})
    if node is None and len(nodes) > 1:
        raise BindingError(
            f"this machine has the nodes {', '.join(map(str, nodes))}; name one with --node, best the "
            "device's own, which `framelane dpdk list` shows"
        )
    wanted_node, wanted_size = nodes[0] if node is None else node, sizes[0] if size_kib is None else size_kib
    for pool in found:
        if (pool.node, pool.size_kib) == (wanted_node, wanted_size):
            return pool
    there = "; ".join(pool.label for pool in found)
    raise BindingError(
        f"{format_size(wanted_size)} pages on node {wanted_node}: this machine has no such; it has {there}"
    )
