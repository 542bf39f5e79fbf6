"""What the probe says of machines that are made up: a sysfs tree, limits, and a library that answers as told.

The trees have what the kernel's documentation of sysfs and the drivers' names state; none was copied from a machine.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from framelane.transport import Obstacle, Verdict
from framelane.transport.probe import run_probes
from framelane.transport.registry import discover
from framelane_vma.devices import find_devices
from framelane_vma.library import Library, LibraryError
from framelane_vma.probe import Machine, examine
from framelane_vma.settings import VmaSettings

VMA = Library(
    path="/usr/lib/libvma.so.9.8.84",
    version="9.8.84",
    api_mask=0x3FFFFF,
    has_api=True,
    has_zero_copy=True,
    has_verdict=True,
    is_stand_in=False,
)
NO_CAPABILITIES = "CapEff:\t0000000000000000\n"
NET_RAW = "CapEff:\t0000000000002000\n"


@dataclass
class MadeUp:
    """A machine below a directory; its parts may be replaced."""

    root: Path

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add_adapter(
        self,
        name: str = "mlx5_0",
        *,
        address: str = "0000:03:00.0",
        device: str = "0x1017",
        driver: str = "mlx5_core",
        interfaces: tuple[str, ...] = ("eth2",),
        verbs: bool = True,
    ) -> None:
        """Add an adapter; a ConnectX-5 (15b3:1017) if nothing else is said."""
        pci = f"sys/bus/pci/devices/{address}"
        for file, text in {"vendor": "0x15b3", "device": device, "numa_node": "1"}.items():
            self.write(f"{pci}/{file}", text + "\n")
        for interface in interfaces:
            (self.root / pci / "net" / interface).mkdir(parents=True)
        drivers = self.root / "sys/bus/pci/drivers" / driver
        drivers.mkdir(parents=True, exist_ok=True)
        (self.root / pci / "driver").symlink_to(drivers)
        self.write(f"sys/class/infiniband/{name}/fw_ver", "16.35.2000\n")
        (self.root / f"sys/class/infiniband/{name}/device").symlink_to(self.root / pci)
        if verbs:
            uverbs = self.root / "sys/class/infiniband_verbs" / f"uverbs-{name}"
            uverbs.mkdir(parents=True)
            (uverbs / "device").symlink_to(self.root / pci)

    def machine(
        self,
        library: Library | LibraryError = VMA,
        socket: str = "",
        memlock: int = resource.RLIM_INFINITY,
        environ: Mapping[str, str] | None = None,
    ) -> Machine:
        def load(name: str, variables: Mapping[str, str]) -> Library:
            self.asked = name, dict(variables)
            if isinstance(library, LibraryError):
                raise library
            return library

        return Machine(
            sys_root=self.root / "sys",
            proc_root=self.root / "proc",
            environ=environ or {},
            memlock=memlock,
            load=load,
            try_socket=lambda: socket,
        )


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    made_up = MadeUp(tmp_path)
    made_up.write("proc/thread-self/status", NET_RAW)
    made_up.write("proc/meminfo", "HugePages_Free:      800\nHugepagesize:       2048 kB\n")
    return made_up


def obstacle(verdict: Verdict, asked: str) -> Obstacle:
    (found,) = [one for one in verdict.obstacles if asked in one.asked]
    return found


def facts(verdict: Verdict) -> dict[str, str]:
    return {fact.name: fact.value for fact in verdict.facts}


def test_a_connectx_5_with_everything_is_usable_on_its_interface(made_up: MadeUp) -> None:
    made_up.add_adapter()
    verdict = examine(VmaSettings(), made_up.machine())
    assert verdict.usable and verdict.obstacles == ()
    assert verdict.devices is not None
    assert [(device.name, device.interface) for device in verdict.devices] == [("eth2", "eth2")]
    assert verdict.capabilities.zero_copy_rx and not verdict.capabilities.ipv6
    assert facts(verdict)["adapter"] == (
        "mlx5_0, mlx5_core, PCI 0000:03:00.0 (0x15b3:0x1017), firmware 16.35.2000, NUMA node 1, interface eth2"
    )
    assert facts(verdict)["library"] == "/usr/lib/libvma.so.9.8.84, version 9.8.84"
    assert facts(verdict)["memlock"] == "unlimited"


def test_other_rdma_devices_are_none_of_vma(made_up: MadeUp) -> None:
    made_up.add_adapter("irdma0", address="0000:05:00.0", driver="irdma")
    made_up.add_adapter("mlx4_0", address="0000:06:00.0", device="0x1007", driver="mlx4_core", interfaces=("eth5",))
    assert [device.name for device in find_devices(made_up.root / "sys")] == ["mlx4_0"]


def test_a_machine_without_adapter_says_what_to_load_and_what_the_library_answered(made_up: MadeUp) -> None:
    verdict = examine(
        VmaSettings(), made_up.machine(socket="its socket() returns -1: Function not implemented (ENOSYS)")
    )
    assert not verdict.usable and verdict.devices == ()
    assert "modprobe mlx5_ib" in obstacle(verdict, "ConnectX").next
    refused = obstacle(verdict, "UDP socket")
    # As libvma 9.8.84 did on a machine like this.
    assert refused.found == (
        "it is loaded, and its socket() returns -1: Function not implemented (ENOSYS); "
        f"the kernel has no RDMA: no {made_up.root}/sys/class/infiniband"
    )
    assert "does not fall back" in refused.next and "leave vma out" in refused.next


def test_a_library_that_is_not_there_is_an_obstacle_with_the_next_step(made_up: MadeUp) -> None:
    made_up.add_adapter()
    verdict = examine(VmaSettings(), made_up.machine(LibraryError("libvma.so: cannot open shared object file")))
    assert not verdict.usable
    assert "install libvma" in obstacle(verdict, "libvma.so").next


def test_interfaces_are_those_that_are_asked_for_if_the_adapter_has_them(made_up: MadeUp) -> None:
    made_up.add_adapter(interfaces=("eth2", "eth3"))
    verdict = examine(VmaSettings(interfaces=("eth3",)), made_up.machine())
    assert verdict.devices is not None and [device.name for device in verdict.devices] == ["eth3"]
    refused = examine(VmaSettings(interfaces=("eth9",)), made_up.machine())
    assert not refused.usable
    assert obstacle(refused, "eth9").found == "the adapters have eth2, eth3"


def test_missing_privileges_verbs_and_limits_are_told_apart(made_up: MadeUp) -> None:
    made_up.add_adapter(verbs=False)
    made_up.write("proc/thread-self/status", NO_CAPABILITIES)
    verdict = examine(VmaSettings(), made_up.machine(memlock=64 << 10))
    assert not verdict.usable
    assert "AmbientCapabilities=CAP_NET_RAW" in obstacle(verdict, "CAP_NET_RAW").next
    assert "modprobe ib_uverbs" in obstacle(verdict, "verbs").next
    assert obstacle(verdict, "locked").found.startswith("64 KiB")


def test_little_memory_to_lock_and_no_huge_pages_cost_only_a_warning(made_up: MadeUp) -> None:
    made_up.add_adapter()
    made_up.write("proc/meminfo", "HugePages_Free:        0\nHugepagesize:       2048 kB\n")
    verdict = examine(VmaSettings(memory="hugepages"), made_up.machine(memlock=64 << 10))
    assert verdict.usable
    assert len(verdict.obstacles) == 2


def test_a_library_without_zero_copy_or_extra_api_is_usable_and_says_so(made_up: MadeUp) -> None:
    made_up.add_adapter()
    plain = replace(VMA, api_mask=0, has_api=False, has_zero_copy=False, has_verdict=False)
    verdict = examine(VmaSettings(), made_up.machine(plain))
    assert verdict.usable and not verdict.capabilities.zero_copy_rx
    assert "copied once more" in obstacle(verdict, "zero-copy").found
    assert obstacle(verdict, "extra API").found == "the library has none"


def test_the_environment_follows_from_the_settings_and_replaces_what_is_there(made_up: MadeUp) -> None:
    made_up.add_adapter()
    settings = VmaSettings(
        spec="latency", rx_poll=-1, os_poll_ratio=10, memory="hugepages", variables={"VMA_STATS_FILE": "/run/vma"}
    )
    verdict = examine(settings, made_up.machine(environ={"VMA_TX_NONBLOCKED_EAGAINS": "0", "VMA_RX_POLL": "-1"}))
    expected = {
        "VMA_SPEC": "latency",
        "VMA_RX_POLL": "-1",
        "VMA_RX_UDP_POLL_OS_RATIO": "10",
        "VMA_MEM_ALLOC_TYPE": "2",
        "VMA_THREAD_MODE": "1",
        "VMA_TX_NONBLOCKED_EAGAINS": "1",
        "VMA_STATS_FILE": "/run/vma",
    }
    assert made_up.asked[1].items() >= expected.items()
    assert [fact.value for fact in verdict.facts if fact.name == "replaced"] == [
        "VMA_TX_NONBLOCKED_EAGAINS=0 of the environment, by 1"
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("LD_PRELOAD", "no variable of VMA"),
        ("VMA_SPEC", "set by the key spec"),
        ("VMA_TX_NONBLOCKED_EAGAINS", "always 1"),
    ],
)
def test_variables_that_settings_own_are_refused_with_the_key(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VmaSettings(variables={name: "0"})


def test_a_file_that_is_not_vma_is_refused_because_its_sockets_would_be_the_kernels() -> None:
    verdict = run_probes([discover().plugins["vma"]], {"vma": VmaSettings(library="libm.so.6")})["vma"]
    assert not verdict.usable
    assert "has no socket of its own, so it is not VMA" in obstacle(verdict, "libm.so.6").found


def test_this_machine_names_the_next_step_for_all_that_is_missing() -> None:
    verdict = run_probes([discover().plugins["vma"]], {})["vma"]
    wants_adapter = [one for one in verdict.obstacles if "ConnectX" in one.asked]
    assert bool(wants_adapter) == (not find_devices())
    assert all("modprobe" in one.next for one in wants_adapter)
    assert not (wants_adapter and verdict.usable)
    assert all(one.asked and one.found and one.where and one.next for one in verdict.obstacles)
