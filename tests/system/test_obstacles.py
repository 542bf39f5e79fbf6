"""Every obstacle of the port-level transports as a user meets it: by a driver that must use one, and by ``framelane
transports``; both by their functions, in one process, as starting twice takes longer than all else.

Those of PCI devices are in the plugin's own tests, on a made-up /sys: a device that Linux still has, one without IOMMU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.namespaces import Link

pytestmark = pytest.mark.root

BOTH = """
from framelane import cli
from framelane.cli import framelaned
print("exit", framelaned.main([]), flush=True)
cli.main(["transports", "--verbose"])
"""
PLUGINS = Path(__file__).parents[2] / "plugins"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")


def unprivileged() -> tuple[str, ...]:
    """Become nobody, or where nobody may not run this Python, root without a capability, which is no more to Linux."""
    can_run = subprocess.run([*NOBODY, "test", "-x", sys.executable], timeout=30).returncode == 0
    return NOBODY if can_run else ("setpriv", "--bounding-set=-all")


XDP = {"interface": "eth0"}


@dataclass(frozen=True)
class Situation:
    """What a case is in.

    :ivar network: two namespaces; the programs run in the left one, on whose ``eth0`` nothing is.
    """

    network: Link
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def without_native(self, plugin: str) -> None:
        """Have the programs find the plugin as it is installed without its native half."""
        source = PLUGINS / plugin / "src" / f"framelane_{plugin}"
        shutil.copytree(source, self.directory / "site" / source.name, ignore=shutil.ignore_patterns("_native*"))
        self.environment["PYTHONPATH"] = str(self.directory / "site")

    def program(self, name: str, text: str) -> None:
        """Put a program before the others."""
        folder = self.directory / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        self.environment["PATH"] = f"{folder}:{os.environ['PATH']}"

    def run(self, *command: str | Path) -> None:
        subprocess.run(["ip", "netns", "exec", self.network.left, *command], check=True, timeout=30)


def default_route(situation: Situation) -> None:
    situation.run("ip", "route", "add", "default", "via", situation.network.right_address)


def program_of_others(situation: Situation) -> None:
    source, target = situation.directory / "pass.c", situation.directory / "pass.o"
    source.write_text('__attribute__((section("xdp"))) int others(void *context) { return 2; }\n')
    subprocess.run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", target], check=True, timeout=30)
    situation.run("ip", "link", "set", "dev", "eth0", "xdp", "obj", target, "sec", "xdp")


def no_headers(plugin: str) -> Callable[[Situation], None]:
    def prepare(situation: Situation) -> None:
        situation.without_native(plugin)
        situation.program("pkg-config", "#!/bin/sh\nexit 1\n")

    return prepare


def old_dpdk(situation: Situation) -> None:
    situation.without_native("dpdk")
    situation.program("pkg-config", "#!/bin/sh\necho 20.11.9\n")


@dataclass(frozen=True)
class Case:
    transport: str
    settings: Mapping[str, object]
    found: str
    next: str
    prepare: Callable[[Situation], None] | None = None
    prefix: tuple[str, ...] = ()
    is_unprivileged: bool = False


MEMIF = {
    "vdev": "net_memif",
    "vdev_args": {"role": "client", "socket": "/tmp/memif.sock"},
    "addresses": ["10.1.1.1/24"],
}
CASES = {
    "xdp, wrong interface": Case(
        "xdp", {"interface": "eth9"}, "there is none of that name; there are: eth0", "interface"
    ),
    "xdp, no root": Case("xdp", XDP, "CAP_NET_RAW", "AmbientCapabilities=", is_unprivileged=True),
    "xdp, a capability missing": Case(
        "xdp", XDP, "CAP_BPF", "AmbientCapabilities=CAP_BPF", prefix=("setpriv", "--bounding-set=-bpf,-sys_admin")
    ),
    "xdp, default route": Case("xdp", XDP, "carries it", "transport.xdp.allow_default_route = true", default_route),
    "xdp, interface busy": Case("xdp", XDP, "'others'", "ip link set dev eth0 xdp off", program_of_others),
    "xdp, no huge pages": Case("xdp", XDP | {"hugepages": True, "ring_size": 16384}, "are free", "hugepages"),
    "xdp, old kernel": Case("xdp", XDP, "Linux 2.6.", "newer kernel", prefix=("setarch", "--uname-2.6")),
    "xdp, no headers": Case(
        "xdp", XDP, "the headers of libxdp and libbpf were missing", "libxdp-dev", no_headers("xdp")
    ),
    "dpdk, wrong interface": Case("dpdk", {"device": "eth9"}, "an interface of this machine", "framelane dpdk list"),
    "dpdk, not of PCI": Case("dpdk", {"device": "eth0"}, "no interface of a PCI device", "framelane dpdk list"),
    "dpdk, a capability missing": Case(
        "dpdk",
        {"vdev": "net_af_packet", "vdev_args": {"iface": "eth0"}},
        "CAP_NET_RAW",
        "AmbientCapabilities=",
        prefix=("setpriv", "--bounding-set=-net_raw"),
    ),
    "dpdk, no root": Case(
        "dpdk",
        {"vdev": "net_tap", "addresses": ["10.1.1.1/24"]},
        "CAP_NET_ADMIN",
        "AmbientCapabilities=",
        is_unprivileged=True,
    ),
    "dpdk, no huge pages": Case("dpdk", MEMIF | {"hugepages": True}, "none are free", "framelane dpdk hugepages"),
    "dpdk, no headers": Case("dpdk", MEMIF, "there are no headers of DPDK", "libdpdk-dev", no_headers("dpdk")),
    "dpdk, old release": Case("dpdk", MEMIF, "DPDK 20.11.9 is too old", "install a newer DPDK", old_dpdk),
}


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }"
    return repr(value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_obstacle_is_shown_with_its_next_step(case: Case, link: Link, tmp_path: Path, shared: Path) -> None:
    if "hugepages" in case.settings and Path("/proc/sys/vm/nr_hugepages").read_text().strip() != "0":
        pytest.skip("this machine has huge pages")
    situation = Situation(link, tmp_path)
    if case.prepare is not None:
        case.prepare(situation)
    file = shared / "framelane.toml"
    table = "\n".join(f"{name} = {toml(value)}" for name, value in case.settings.items())
    file.write_text(f'[transport]\nrequire = "{case.transport}"\n[transport.{case.transport}]\n{table}\n')
    shared.chmod(0o777)
    environment = os.environ | {"FRAMELANE_CONFIG": str(file), "AERON_DIR": str(shared / "driver")}

    command = ["ip", "netns", "exec", link.left, "env", *(f"{k}={v}" for k, v in situation.environment.items())]
    command += [*(unprivileged() if case.is_unprivileged else case.prefix), sys.executable, "-c", BOTH]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )

    refusal, status, shown = done.stdout.partition("exit 1\n")
    assert status, done.stdout
    for part in (
        f'transport.require = "{case.transport}" cannot be met',
        "asked",
        "found",
        "next",
        case.found,
        case.next,
    ):
        assert part in refusal, refusal
    assert done.returncode == 0, shown
    for part in (case.found, case.next):
        assert part in shown, shown
