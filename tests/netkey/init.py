"""Process 1 of the guest: makes the machine, runs one command, says how it ended, powers off.

Runs as ``python -I -S init.py SPEC`` with nothing but the standard library, for every import costs
in the guest. Two consoles lead to the host: ``tty1`` carries the command's output, ``tty2`` one
line per thing that happened (see :mod:`tests.netkey.uml`).

The guest starts on the host's own tree, read only (hostfs). An overlay in memory is put over it,
so that a command may write where it likes, wherever the checkout lies, and nothing of it stays;
only the scratch folder is the host's again.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

MS_BIND = 4096
MNT_DETACH = 2
SYS_PIVOT_ROOT = 155  # x86-64, the only one Debian builds user-mode Linux for
LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART = 0x4321FEDC, 0x01234567
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a command over its time."""

# What the test bed needs at once, loaded by one process; the rest loads when it is asked for.
MODULES = (
    *("ipv6", "xfrm_user", "veth", "bridge"),
    *("esp4", "esp6", "ah4", "ah6", "ipcomp", "ipcomp6", "xfrm4_tunnel", "xfrm6_tunnel"),
    *("authenc", "echainiv", "hmac", "cbc", "des_generic", "deflate"),
)

libc = ctypes.CDLL(None, use_errno=True)


class OverTimeError(Exception):
    """The command's time is up."""


def must(result: int, what: str) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    encoded = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    must(libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data)), target)


def overlay_root(hall: str, modules: str) -> None:
    """Put a writable layer in memory over the host's tree and make it the root.

    By pivot_root and not by chroot, for the kernel's own helpers (modprobe) start in the root of
    the whole mount namespace.
    """
    subprocess.run(["/sbin/insmod", f"{modules}/kernel/fs/overlayfs/overlay.ko"], check=True)
    mount("tmpfs", hall, "tmpfs", data="mode=755")
    for name in ("upper", "work", "root"):
        Path(hall, name).mkdir()
    layers = f"lowerdir=/,upperdir={hall}/upper,workdir={hall}/work"
    mount("overlay", f"{hall}/root", "overlay", data=layers)
    os.chdir(f"{hall}/root")
    must(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    must(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def furnish(modules: str, scratch: str, *, qemu: bool) -> None:
    """File systems of the kernel, its modules where modprobe looks, and the scratch folder."""
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("devtmpfs", "/dev", "devtmpfs")
    mount("devpts", "/dev/pts", "devpts")
    for place in ("/dev/shm", "/run"):  # noqa: S108 - a file system of the guest, not a file
        mount("tmpfs", place, "tmpfs", data="mode=755")
    mount(modules, f"/lib/modules/{os.uname().release}", "none", MS_BIND)
    if qemu:
        options = "trans=virtio,version=9p2000.L,cache=none,access=any,msize=524288"
        mount("scratch", scratch, "9p", data=options)
    else:
        mount("scratch", scratch, "hostfs", data=scratch)
    for name, target in (("fd", "/proc/self/fd"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path("/dev", name).symlink_to(target)
    subprocess.run(["/sbin/modprobe", "-a", *MODULES], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def console(path: str) -> int:
    """The console as a plain pipe: no line discipline may touch what goes through."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if os.isatty(fd):
        tty.setraw(fd)
    return fd


def drain(fd: int) -> None:
    """Until the host has it; what is written to a port of virtio it has at once."""
    if os.isatty(fd):
        termios.tcdrain(fd)


def run(
    command: list[str], environment: dict[str, str], folder: str, limit: float, out: int
) -> str:
    """Run the command and return how it ended, reaping every orphan on the way."""
    try:
        main = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        ).pid
    except OSError as error:
        os.write(out, f"{command[0]}: {error.strerror}\n".encode())
        return "exit 127" if isinstance(error, FileNotFoundError) else "exit 126"

    def ring(signum: int, _frame: object) -> None:
        raise OverTimeError(signum)

    signal.signal(signal.SIGALRM, ring)
    over = False
    signal.setitimer(signal.ITIMER_REAL, limit)
    while True:
        try:
            pid, status = os.wait()
        except OverTimeError:
            os.killpg(main, signal.SIGKILL if over else signal.SIGTERM)
            over = True
            signal.setitimer(signal.ITIMER_REAL, GRACE)
            continue
        if pid == main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            code = os.waitstatus_to_exitcode(status)
            return "overtime" if over else f"exit {code if code >= 0 else 128 - code}"


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    os.umask(0o022)
    os.environ["PATH"] = spec["environment"]["PATH"]
    mount("proc", "/proc", "proc")
    if not spec["qemu"]:  # whose first steps have done it, see qemu.py
        overlay_root(spec["hall"], spec["modules"])
    furnish(spec["modules"], spec["scratch"], qemu=spec["qemu"])
    out, events = map(console, spec["consoles"])
    os.write(events, f"up {os.uname().release}\n".encode())
    environment = {**spec["environment"], "NETKEY_GUEST": os.uname().release}
    end = run(spec["command"], environment, spec["folder"], spec["limit"], out)
    os.sync()
    drain(out)
    os.write(events, f"{end}\n".encode())
    drain(events)


if __name__ == "__main__":
    try:
        main()
    except BaseException as problem:  # noqa: BLE001 - process 1 must not end by itself
        print(f"init: {type(problem).__name__}: {problem}", flush=True)
    # QEMU is told to end where the guest would start anew.
    in_qemu = Path("/dev/vport0p1").exists()
    libc.reboot(LINUX_REBOOT_CMD_RESTART if in_qemu else LINUX_REBOOT_CMD_POWER_OFF)
    while True:
        time.sleep(1)
