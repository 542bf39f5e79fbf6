"""``framelane dpdk``: which devices there are, taking them from Linux and giving them back, huge pages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from framelane.cli.options import JsonOption, make_console, print_json, warn
from framelane_dpdk import linux_interface
from framelane_dpdk.binding import VFIO_DRIVER, Plan, carry_out, plan_bind, plan_restore, plan_unbind
from framelane_dpdk.checks import captured, users
from framelane_dpdk.hugepages import format_size, mounts, parse_size, plan_reserve, pools
from framelane_dpdk.in_use import device_holders
from framelane_dpdk.linux_interface import LinuxInterface
from framelane_dpdk.machine import LinuxNetwork, Machine
from framelane_dpdk.pci import BindingError, PciDevice, find_device, network_devices, read_link
from framelane_dpdk.steps import LoadModule, Step, Write

__all__ = ["make_app"]

DevicesArgument = Annotated[
    list[str], typer.Argument(metavar="DEVICE...", help="PCI address such as 0000:03:00.0, or interface name.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Take it although it carries the default route or connections.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the exact steps and change nothing.")]


def make_app(machine: Machine | None = None) -> typer.Typer:
    """Return the sub-commands of ``framelane dpdk``.

    :param machine: the one that is looked at and changed; ``None``: this one.
    """
    app = typer.Typer(no_args_is_help=True, help="Devices for the dpdk transport: list, take, give back; huge pages.")
    target = machine if machine is not None else Machine(LinuxNetwork())

    @app.command("list")
    def list_devices(as_json: JsonOption = False) -> None:
        """Show the network devices: driver, NUMA node, link, addresses, and who uses them."""
        entries = [_entry(target, device) for device in network_devices(target.sysfs)]
        if as_json:
            print_json({"devices": entries})
        else:
            _print_devices(entries)

    @app.command("bind")
    def bind(
        devices: DevicesArgument, force: ForceOption = False, dry_run: DryRunOption = False, as_json: JsonOption = False
    ) -> None:
        """Take devices from Linux and give them to vfio-pci; keep what restore needs."""
        found = _find(target, devices)
        _perform(target, plan_bind(target, found, force=force), dry_run=dry_run, as_json=as_json)
        if not as_json and not dry_run:
            _print_configuration(found)

    @app.command("unbind")
    def unbind(
        devices: DevicesArgument, force: ForceOption = False, dry_run: DryRunOption = False, as_json: JsonOption = False
    ) -> None:
        """Take devices from their driver and leave them without one; restore gives them back."""
        plan = plan_unbind(target, _find(target, devices), force=force)
        _perform(target, plan, dry_run=dry_run, as_json=as_json)

    @app.command("restore")
    def restore(
        devices: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[DEVICE]...", help="PCI address or former interface name; else all that were kept."
            ),
        ] = None,
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Give devices back to Linux, with the addresses, routes, MTU and state that their interfaces had."""
        names = devices or [address for _, address in linux_interface.former_names()]
        _perform(target, plan_restore(target, _find(target, names)), dry_run=dry_run, as_json=as_json)

    @app.command("hugepages")
    def hugepages(
        count: Annotated[int | None, typer.Argument(min=0, metavar="[COUNT]", help="Reserve so many.")] = None,
        size: Annotated[
            str | None, typer.Option("--size", metavar="SIZE", help="Page size, such as 2M or 1G; else the smallest.")
        ] = None,
        node: Annotated[
            int | None, typer.Option("--node", min=0, metavar="NODE", help="NUMA node, if several.")
        ] = None,
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Show huge pages by node and size, or reserve some."""
        size_kib = None if size is None else parse_size(size)
        if count is not None:
            steps = plan_reserve(target.sysfs, count, size_kib=size_kib, node=node)
            _perform(target, Plan(tuple(steps)), dry_run=dry_run, as_json=as_json)
        elif dry_run:
            raise BindingError("--dry-run: nothing is asked for; give a COUNT")
        else:
            _show_hugepages(target, size_kib, node, as_json=as_json)

    return app


def _find(machine: Machine, names: Sequence[str]) -> list[PciDevice]:
    former = linux_interface.former_names()
    found = {one.address: one for one in (find_device(machine.sysfs, name, former_names=former) for name in names)}
    return list(found.values())


def _perform(machine: Machine, plan: Plan, *, dry_run: bool, as_json: bool) -> None:
    for text in plan.warnings:
        warn(text)
    made: list[str] = []

    def report(text: str) -> None:
        made.append(text)
        if not as_json:
            print(text, flush=True)

    if not as_json:
        for text in plan.notes:
            print(text, file=sys.stderr)
    if not dry_run:
        carry_out(machine, plan, report=report)
    elif not as_json:
        print("\n".join(plan.texts) or "nothing to do")
    if as_json:
        steps = [_step_as_json(step) for step in plan.steps]
        document = {"dry_run": dry_run, "steps": steps, "warnings": list(plan.warnings), "notes": list(plan.notes)}
        print_json(document | {"interfaces": [asdict(one) for one in plan.interfaces]})


def _step_as_json(step: Step) -> dict[str, str]:
    if isinstance(step, Write):
        return {"write": str(step.path), "value": step.value}
    if isinstance(step, LoadModule):
        return {"modprobe": step.name}
    return {"do": step.text}


def _entry(machine: Machine, device: PciDevice) -> dict[str, Any]:
    link = read_link(machine.sysfs, device.interfaces[0]) if device.interfaces else None
    interface, problem = None, ""
    try:
        interface = captured(machine, device)
    except BindingError as error:
        problem = str(error)
    used_by = users(machine, interface) if interface is not None else [problem] if problem else []
    if device.driver == VFIO_DRIVER and device.iommu_group is not None:
        used_by += device_holders(machine.sysfs, machine.proc, device.address, device.iommu_group)
    kept = linux_interface.load(device.address)
    return {
        "address": device.address,
        "id": f"{device.vendor:04x}:{device.device:04x}",
        "driver": device.driver,
        "numa_node": device.numa_node,
        "iommu_group": device.iommu_group,
        "iommu": _iommu(device),
        "interfaces": list(device.interfaces),
        "link": link.state if link else None,
        "speed_mbps": link.speed_mbps if link else None,
        "addresses": [one.address for one in interface.addresses] if interface is not None else [],
        "used_by": used_by,
        "kept": _kept(kept) if kept is not None else None,
        "binding": "not needed: DPDK shares the device with its driver" if device.is_bifurcated else "possible",
    }


def _iommu(device: PciDevice) -> str:
    if device.iommu_group is None:
        return "none"
    return "no-IOMMU mode" if device.is_noiommu_group else "yes"


def _kept(kept: LinuxInterface) -> dict[str, Any]:
    return {"interface": kept.name, "driver": kept.driver, "addresses": [one.address for one in kept.addresses]}


def _print_devices(entries: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("address", no_wrap=True)
    for column in ("id", "driver", "node", "iommu", "interface", "link", "addresses", "used by"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        kept = entry["kept"]
        speed = f" {entry['speed_mbps']} Mb/s" if entry["speed_mbps"] else ""
        taken = kept is not None and not entry["interfaces"]
        table.add_row(
            entry["address"],
            entry["id"],
            entry["driver"] or "none",
            "-" if entry["numa_node"] is None else str(entry["numa_node"]),
            f"group {entry['iommu_group']}" if entry["iommu"] == "yes" else entry["iommu"],
            f"was {kept['interface']}" if taken else ", ".join(entry["interfaces"]) or "-",
            f"{entry['link'] or '-'}{speed}",
            "\n".join(kept["addresses"] if taken else entry["addresses"]) or "-",
            "\n".join(entry["used_by"]) or "-",
        )
    make_console().print(table)
    if not entries:
        print("no network device in /sys/bus/pci/devices", file=sys.stderr)


def _print_configuration(devices: Sequence[PciDevice]) -> None:
    print("\nAddresses, gateway and MTU are kept. The driver's configuration needs one line for the device:\n")
    for device in devices:
        print(f'[transport.dpdk]\ndevice = "{device.address}"')


def _show_hugepages(machine: Machine, size_kib: int | None, node: int | None, *, as_json: bool) -> None:
    found = [pool for pool in pools(machine.sysfs) if size_kib in (None, pool.size_kib) and node in (None, pool.node)]
    mounted = mounts(machine.proc)
    if as_json:
        keys = ("node", "size_kib", "total", "free")
        print_json(
            {
                "pools": [{key: getattr(pool, key) for key in keys} for pool in found],
                "mounts": [asdict(mount) for mount in mounted],
            }
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "page size", "reserved", "free", "memory"):
        table.add_column(column, justify="right")
    for pool in found:
        memory = f"{pool.total * pool.size_kib // 1024} MiB"
        table.add_row(str(pool.node), format_size(pool.size_kib), str(pool.total), str(pool.free), memory)
    make_console().print(table)
    for mount in mounted:
        print(f"hugetlbfs on {mount.path}, {format_size(mount.size_kib) if mount.size_kib else 'default size'}")
