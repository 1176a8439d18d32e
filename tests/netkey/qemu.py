"""The same guest on a Debian kernel under QEMU: a newer one, with nftables and xfrm interfaces.

    ./dev test-qemu

The kernel's package is unpacked into a folder, never installed; ``NETKEY_KERNEL`` names it. Where
the processor cannot help (software emulation) all is some four times slower than user-mode Linux,
so the ordinary tests do without. The host's file tree is the guest's, read only, over 9p; console,
output and events go through a serial line and two ports of virtio into the pipes of
:class:`tests.netkey.uml.Guest`.
"""

from __future__ import annotations

import lzma
import os
import shlex
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import uml

if TYPE_CHECKING:
    from collections.abc import Sequence

TREE: Final = "NETKEY_KERNEL"
PROGRAMS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "modprobe": "kmod",
    "setpriv": "util-linux",
}
EARLY: Final = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
BOOT_LIMIT: Final = 120.0

INIT: Final = """#!/bin/busybox sh
b=/bin/busybox
die() {{ echo "init: $1"; $b sleep 0.2; $b reboot -f; }}
$b mount -t devtmpfs devtmpfs /dev || die "no devtmpfs"
for module in /m/*; do $b insmod "$module" || echo "init: insmod $module failed"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,access=any,msize=524288 tree /host \\
	|| die "no 9p"
$b mount -t tmpfs -o mode=755 tmpfs /mem || die "no tmpfs"
$b mkdir /mem/upper /mem/work
$b mount -t overlay -o lowerdir=/host,upperdir=/mem/upper,workdir=/mem/work overlay /new \\
	|| die "no overlay"
$b umount /dev
exec $b switch_root -c /dev/console /new {python} -I -S {init} {spec}
die "no switch_root"
"""


def _tree() -> Path:
    return Path(os.environ.get(TREE, "/nonexistent"))


def _image() -> Path | None:
    return next(iter(sorted(_tree().glob("boot/vmlinuz-*"))), None)


def _modules() -> Path:
    image = _image()
    assert image is not None
    return _tree() / "lib/modules" / image.name.removeprefix("vmlinuz-")


def missing() -> str | None:
    """Why no such guest can run here, in one line, or None."""
    lacking = {package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    if lacking:
        return f"Debian package {', '.join(sorted(lacking))} not installed"
    if _image() is None:
        return f"{TREE} names no folder with an unpacked kernel: ./dev test-qemu makes one"
    return None


class Guest(uml.Guest):
    """One boot under QEMU."""

    @staticmethod
    def missing() -> str | None:
        return missing()

    @staticmethod
    def boot_limit() -> float:
        return BOOT_LIMIT

    @staticmethod
    def places(hall: Path) -> dict[str, object]:  # noqa: ARG004 - as that of its parent
        return {
            "modules": str(_modules()),
            "consoles": ["/dev/vport0p1", "/dev/vport0p2"],
            "qemu": True,
        }

    @staticmethod
    def command_line(hall: Path, scratch: Path, memory: int, pipes: Sequence[int]) -> list[str]:
        (hall / "initrd").write_bytes(_initrd(hall))
        kernel = (
            *("console=ttyS0", "panic=-1", "oops=panic", "reboot=t", "loglevel=5"),
            *("mitigations=off", "net.ifnames=0", "tsc=unstable", "random.trust_cpu=on"),
        )
        shared = "security_model=none,multidevs=remap"
        return [
            *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", f"q35,accel={'kvm' if _has_kvm() else 'tcg'}", "-smp", "1"),
            *("-cpu", "host" if _has_kvm() else "max", "-m", str(2 * memory)),
            *("-kernel", str(_image()), "-initrd", str(hall / "initrd")),
            *("-append", " ".join(kernel)),
            *(
                word
                for number, fd in enumerate(pipes)
                for word in (
                    *("-add-fd", f"fd={fd},set={number}"),
                    *("-chardev", f"file,id=pipe{number},path=/dev/fdset/{number},append=on"),
                )
            ),
            *("-serial", "chardev:pipe0", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,chardev=pipe1,nr=1"),
            *("-device", "virtserialport,chardev=pipe2,nr=2"),
            *("-virtfs", f"local,path=/,mount_tag=tree,readonly=on,{shared}"),
            *("-virtfs", f"local,path={scratch},mount_tag=scratch,{shared}"),
        ]


def _has_kvm() -> bool:
    """The device alone says little: the processor must be able to, too."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and ("vmx" in flags or "svm" in flags)


def _initrd(hall: Path) -> bytes:
    """A cpio archive (newc) that puts an overlay over the host's tree and goes there."""
    archive = bytearray()
    count = 0

    def add(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        nonlocal count
        count += 1
        path = name.encode() + b"\0"
        numbers = (count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        archive.extend(b"070701" + b"".join(b"%08X" % number for number in numbers) + path)
        archive.extend(b"\0" * (-len(archive) % 4) + data)
        archive.extend(b"\0" * (-len(archive) % 4))

    for folder in ("bin", "dev", "proc", "m", "host", "mem", "new"):
        add(folder, stat.S_IFDIR | 0o755)
    add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    add("bin/busybox", stat.S_IFREG | 0o755, Path(shutil.which("busybox") or "").read_bytes())
    for number, path in enumerate(_early_modules()):
        data = path.read_bytes()
        add(
            f"m/{number:02}",
            stat.S_IFREG | 0o644,
            lzma.decompress(data) if path.suffix == ".xz" else data,
        )
    words = {"python": os.path.realpath(sys.executable), "init": uml.INIT}
    script = INIT.format(
        spec=shlex.quote(str(hall / "spec.json")),
        **{name: shlex.quote(str(word)) for name, word in words.items()},
    )
    add("init", stat.S_IFREG | 0o755, script.encode())
    add("TRAILER!!!", 0)
    return bytes(archive)


def _early_modules() -> list[Path]:
    """What is needed to reach the host's tree, each after what it needs itself."""
    needs: dict[str, list[str]] = {}
    for line in (_modules() / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, others = line.partition(":")
        name = Path(path).name.partition(".")[0].replace("-", "_")
        needs[name] = [*reversed(others.split()), path]
    # What is not listed is built in.
    paths = dict.fromkeys(path for name in EARLY for path in needs.get(name, ()))
    return [_modules() / path for path in paths]
