"""A virtual machine of this machine's own files, in software emulation: a kernel with an IOMMU and network cards.

The kernel is Debian's package ``linux-image-amd64``. The host's files are exported over 9p, read only, and the machine
writes on a tmpfs above them; so what is installed here is installed there, and nothing done there stays.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import Process, wait_until

__all__ = ["Done", "Started", "VirtualMachine", "booted"]

REPOSITORY = Path(__file__).parents[2]
AGENT = REPOSITORY / "tests/vm/agent.py"
#: What the initramfs must load before the host's files are there; the rest comes from them.
_BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
#: What is looked for in a kernel's modules, so that Debian's cloud kernel is not taken.
_NEEDED_MODULES = (*_BOOT_MODULES, "e1000e", "vmxnet3", "vfio-pci", "vfio_iommu_type1")
BOOT_LIMIT_S = 240.0
#: What Debian's DPDK is built for; later ones have vector instructions, which take long in emulation.
_PROCESSOR = "Nehalem"
#: The emulated IOMMU remaps interrupts, but not as vfio wants to see it.
_PARAMETERS = "console=ttyS0 quiet panic=-1 mitigations=off intel_iommu=on vfio_iommu_type1.allow_unsafe_interrupts=1"

_INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module || echo "insmod $module failed"; done
mkdir -p /lower /scratch /newroot
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose host /lower || exec sh
mount -t tmpfs -o size=70% tmpfs /scratch
mkdir /scratch/upper /scratch/work
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work overlay /newroot || exec sh
mkdir -p /newroot/proc /newroot/sys /newroot/dev /newroot/run
mount --move /proc /newroot/proc
mount --move /sys /newroot/sys
mount --move /dev /newroot/dev
mkdir -p /newroot/dev/shm /newroot/dev/pts
mount -t tmpfs shm /newroot/dev/shm
mount -t devpts pts /newroot/dev/pts
mount -t tmpfs run /newroot/run
cp /agent.py /newroot/run/agent.py
exec switch_root /newroot {python} /run/agent.py
"""


@dataclass(frozen=True)
class Done:
    """A command that ended in the machine."""

    status: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Started:
    """A program that runs in the machine."""

    pid: int
    log: str  #: the file of its output


class VirtualMachine:
    """A machine that is up. Commands run in it one after another, as root."""

    def __init__(self, control: socket.socket, process: Process) -> None:
        self._control = control
        self._received = b""
        self._process = process

    def run(self, *words: str | Path, limit_s: float = 60.0, status: int | None = 0) -> Done:
        """Run a program of the host's files.

        :param status: the exit status that is expected; ``None``: any.
        """
        answer = self._ask({"run": [str(word) for word in words], "limit_s": limit_s}, limit_s + 30)
        done = Done(answer["status"], answer["stdout"], answer["stderr"])
        print(f"$ {shlex.join(map(str, words))}\n{done.output}", end="")
        assert status is None or done.status == status, f"{shlex.join(map(str, words))}: exit {done.status}"
        return done

    def json(self, *words: str | Path, limit_s: float = 60.0) -> Any:
        """Run a program that prints JSON and return it."""
        return json.loads(self.run(*words, limit_s=limit_s).stdout)

    def start(self, *words: str | Path) -> Started:
        """Start a program that goes on; it ends with the machine."""
        answer = self._ask({"start": [str(word) for word in words]}, 30)
        return Started(answer["pid"], answer["log"])

    def interrupt(self, program: Started) -> None:
        """Send SIGINT."""
        self.run("sh", "-c", f"kill -INT {program.pid}")

    def read(self, path: str | Path) -> str:
        """Return the text of a file, empty if there is none."""
        return str(self._ask({"read": str(path)}, 30)["text"])

    def write(self, path: str | Path, text: str) -> None:
        self._ask({"write": str(path), "text": text}, 30)

    def wait_for(self, text: str, program: Started, limit_s: float = 90.0) -> None:
        """Wait until a program printed a text."""
        try:
            wait_until(lambda: text in self.read(program.log), f"{text!r} of a program in the machine", limit_s)
        except AssertionError:
            print(self.read(program.log))
            raise

    def _ask(self, question: dict[str, Any], limit_s: float) -> Any:
        self._control.sendall(json.dumps(question).encode() + b"\n")
        return self._answer(limit_s)

    def _answer(self, limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._received:
            self._control.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                received = self._control.recv(65536)
            except TimeoutError:
                raise AssertionError(
                    f"the virtual machine did not answer within {limit_s} s; its console:\n{self._process.output}"
                ) from None
            assert received, f"the virtual machine ended; its console:\n{self._process.output}"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)


@contextmanager
def booted(directory: Path, devices: Sequence[str], *, memory_mib: int = 2048) -> Iterator[VirtualMachine]:
    """Boot a machine and end it after.

    :param directory: for its files.
    :param devices: further arguments of qemu.
    """
    kernel, modules = _find_kernel()
    directory.mkdir(parents=True, exist_ok=True)
    initramfs = _make_initramfs(directory, modules)
    export = directory / "export"
    export.mkdir()
    arguments = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35",
        "-cpu", _PROCESSOR, "-smp", str(min(4, os.cpu_count() or 1)),
        "-m", str(memory_mib), "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
        "-chardev", f"socket,id=control,path={directory / 'control'},server=on,wait=off", "-serial", "chardev:control",
        "-device", "intel-iommu,intremap=on,caching-mode=on",
        "-kernel", str(kernel), "-initrd", str(initramfs),
        "-append", _PARAMETERS,
        "-virtfs", f"local,path={export},mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        *devices,
    ]  # fmt: skip
    # In a mount namespace of its own, which takes the bind mounts with it.
    mounts = [f"mount --bind / {shlex.quote(str(export))}"]
    mounts += [f"mount --bind {one} {shlex.quote(f'{export}{one}')}" for one in _other_file_systems()]
    script = " && ".join([*mounts, f"exec {shlex.join(arguments)}"])
    process = Process(
        "qemu",
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        directory / "console",
        os.environ,
    )
    try:
        control = _connect(directory / "control", process)
        with control:
            machine = VirtualMachine(control, process)
            assert machine._answer(BOOT_LIMIT_S) == {"ready": True}
            yield machine
    finally:
        process.kill()
        process.wait(10)
        process.end()


def _connect(path: Path, process: Process) -> socket.socket:
    control = socket.socket(socket.AF_UNIX)

    def is_connected() -> bool:
        assert process.is_running, f"qemu ended:\n{process.output}"
        try:
            control.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):  # not made yet, or made and not listened on
            return False
        return True

    try:
        wait_until(is_connected, "the control socket of qemu", 20)
    except BaseException:
        control.close()
        raise
    return control


def _find_kernel() -> tuple[Path, Path]:
    """Return the newest kernel that has all modules, and their directory."""
    for modules in sorted(Path("/lib/modules").glob("*-amd64"), reverse=True):
        kernel = Path("/boot") / f"vmlinuz-{modules.name}"
        if kernel.exists() and all(_find_module(modules, name) for name in _NEEDED_MODULES):
            return kernel, modules
    raise AssertionError("no kernel in /boot has the modules needed; install the package linux-image-amd64")


def _find_module(modules: Path, name: str) -> str | None:
    return next(
        (path for path in _dependencies(modules) if Path(path).name.split(".")[0] in (name, _dashed(name))), None
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _dependencies(modules: Path) -> dict[str, list[str]]:
    lines = (modules / "modules.dep").read_text().splitlines()
    return {path: rest.split() for path, _, rest in (line.partition(":") for line in lines)}


def _make_initramfs(directory: Path, modules: Path) -> Path:
    root = directory / "initramfs"
    for name in ("bin", "modules", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "mount", "mkdir", "insmod", "cat", "cp", "echo", "switch_root"):
        (root / "bin" / name).symlink_to("busybox")
    dependencies = _dependencies(modules)
    order: list[str] = []
    for name in _BOOT_MODULES:
        found = _find_module(modules, name)
        assert found is not None
        order += [one for one in (*reversed(dependencies[found]), found) if one not in order]
    for one in order:
        shutil.copy(modules / one, root / "modules")
    (root / "modules/order").write_text("\n".join(Path(one).name for one in order))
    shutil.copy(AGENT, root / "agent.py")
    (root / "init").write_text(_INIT.format(python=shlex.quote(str(Path(sys.executable)))))
    (root / "init").chmod(0o755)
    image = directory / "initramfs.cpio"
    with image.open("wb") as file:
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=file, check=True)
    return image


def _other_file_systems() -> list[Path]:
    """Return the directories that are needed and not on the file system of ``/``."""
    needed = {REPOSITORY, Path(sys.base_prefix).resolve()}
    return sorted(one for one in needed if one.stat().st_dev != Path("/").stat().st_dev)
