"""Runs one command as root on a kernel that has ESP, AH and IPCOMP: user-mode Linux.

    python -m tests.netkey.uml [--limit SECONDS] [--scratch FOLDER] -- COMMAND [ARGUMENT...]

A test machine often has a kernel without the protocols of IPsec and without modules. Debian's
package ``user-mode-linux`` is a whole kernel that runs as one process of the host, and boots in
about two seconds. The guest sees the host's file tree at the same paths; what it writes stays in
its memory and is lost, but for the scratch folder. It has no network but its own namespaces.

Here ``unshare`` puts the guest into namespaces of its own: the host's tree is read-only for it
(but for the scratch folder), and when the process with which its namespace began ends, so does
all of it. Three pipes are its consoles: the kernel's, the command's output, and the events that
process 1 (:mod:`tests.netkey.init`) sends: ``up RELEASE``, then ``exit STATUS`` or ``overtime``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MODULES: Final = Path("/usr/lib/uml/modules")
INIT: Final = Path(__file__).with_name("init.py")
PROGRAMS: Final = {
    "linux.uml": "user-mode-linux",
    "modprobe": "kmod",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
XSTATE: Final = Path(__file__).with_name("xstate.c")
BOOT_LIMIT: Final = 30.0
REACTION: Final = 10.0
"""Seconds the guest has to end a command over its time, before it counts as hung."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class GuestError(Exception):
    """The guest did not run the command to its end; ``status`` is the exit status that says so."""

    status: ClassVar[int] = 125


class GuestMissingError(GuestError):
    """Something that the guest needs is not on this machine."""

    status = 120


class GuestNotUpError(GuestError):
    """The guest ended or stayed silent before it was up."""

    status = 121


class GuestDiedError(GuestError):
    """The guest ended before the command did: a kernel panic, or somebody killed it."""

    status = 122


class GuestHungError(GuestError):
    """The time was up and the guest did not even react to that."""

    status = 123


class GuestOverTimeError(GuestError):
    """The command ran longer than its limit and was ended."""

    status = 124


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")


def _modules() -> Path:
    """The folder of the modules of just this kernel: an older package's may lie beside it."""
    kernel = _program("linux.uml") or "linux.uml"
    said = subprocess.run([kernel, "--version"], capture_output=True, text=True, check=False)
    return MODULES / said.stdout.strip()


def _has_large_registers() -> bool:
    """Whether the processor has AMX, whose state is more than user-mode Linux 6.1 can keep."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii").partition("\nflags")[2]
    return "amx_tile" in flags.partition("\n")[0].split()


def missing() -> str | None:
    """Why no guest can run here, in one line, or None."""
    if os.uname().machine != "x86_64":
        return f"user-mode Linux needs an x86-64 machine, and this one is {os.uname().machine}"
    packages = {package for name, package in PROGRAMS.items() if _program(name) is None}
    if "user-mode-linux" not in packages and not (_modules() / "modules.dep").exists():
        packages.add("user-mode-linux")
    if _has_large_registers() and _program("gcc") is None:
        packages.add("gcc")
    if packages:
        return f"Debian package {', '.join(sorted(packages))} not installed"
    if os.geteuid() != 0:
        return "the guest needs root, for namespaces of its own"
    made = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {made.stderr.strip()}" if made.returncode else None


def _memory_folder(size: int, otherwise: Path) -> Path:
    """Where the file that is the guest's memory goes: on disk its pages would be written back."""
    shared = Path("/dev/shm")  # noqa: S108 - only its size is asked for
    with contextlib.suppress(OSError):
        space = os.statvfs(shared)
        if space.f_bavail * space.f_frsize > size:
            return shared
    return otherwise


def _ptrace_of_all_registers(hall: Path) -> Path:
    """The library that lets the guest run on such a processor: see ``xstate.c``."""
    library = hall / "xstate.so"
    built = subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(XSTATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise GuestMissingError(f"{XSTATE.name} cannot be compiled: {built.stderr.strip()}")
    return library


def _command_line(hall: Path, scratch: Path, memory: int, pipes: Sequence[int]) -> list[str]:
    kernel = [
        _program("linux.uml") or "linux.uml",
        f"mem={memory}M",
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
        *("con=null", "ssl=null"),
        *(f"con{number}=null,fd:{fd}" for number, fd in enumerate(pipes)),
        *(f"umid={hall.name}", f"uml_dir={hall}/uml/"),
        *("panic=-1", "oops=panic", "loglevel=5"),
        # The RAID benchmarks and the delay loop are most of the boot, and of no use here.
        *("initcall_blacklist=raid6_select_algo,calibrate_xor_blocks", "lpj=20000000"),
        f"init={os.path.realpath(sys.executable)}",
        *("--", "-I", "-S", str(INIT), str(hall / "spec.json")),
    ]
    if _has_large_registers():
        kernel = ["env", f"LD_PRELOAD={_ptrace_of_all_registers(hall)}", *kernel]
    (hall / "uml").mkdir()
    (hall / "mnt").mkdir()
    # The host's tree read-only for the guest's root, which could remount its own side of it. The
    # shell stays, for a kernel that panics aborts, and process 1 of a namespace survives that.
    jail = (
        'for kept in "$1" "$2"; do mount --bind "$kept" "$kept"; done; shift 2; '
        'mount -o remount,bind,ro /; "$@"; exit $?'
    )
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--net", "--ipc", "--mount-proc", "--fork"),
        *("--kill-child=KILL", "--", "sh", "-ec", jail, "jail", str(hall), str(scratch)),
        *kernel,
    ]


class Guest:
    """One boot. A context manager: nothing is left behind however the block is left."""

    @staticmethod
    def missing() -> str | None:
        """Why no guest can run here, in one line, or None."""
        return missing()

    @staticmethod
    def boot_limit() -> float:
        """Seconds after which a guest that is not up is given up."""
        return BOOT_LIMIT

    @staticmethod
    def command_line(hall: Path, scratch: Path, memory: int, pipes: Sequence[int]) -> list[str]:
        """What boots the kernel: ``pipes`` are its console, the output and the events."""
        return _command_line(hall, scratch, memory, pipes)

    @staticmethod
    def places(hall: Path) -> dict[str, object]:
        """What process 1 has to know of this kind of guest."""
        return {
            "hall": f"{hall}/mnt",
            "modules": str(_modules()),
            "consoles": ["/dev/tty1", "/dev/tty2"],
            "qemu": False,
        }

    def __init__(
        self,
        command: Sequence[str],
        *,
        scratch: Path | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        limit: float = 300.0,
        memory: int = 512,
    ) -> None:
        reason = self.missing()
        if reason:
            raise GuestMissingError(reason)
        self.limit = limit
        self.release = ""
        """The guest's kernel, once it is up."""
        self.boot_seconds = 0.0
        self.console = b""
        """What the kernel printed."""
        self._lines = b""
        self._end = ""
        self._closing = contextlib.ExitStack()
        try:
            self._process = self._boot(
                list(command), scratch, folder or Path.cwd(), dict(environment or {}), memory
            )
        except BaseException:
            self._closing.close()
            raise

    def _boot(
        self,
        command: list[str],
        scratch: Path | None,
        folder: Path,
        environment: dict[str, str],
        memory: int,
    ) -> subprocess.Popen[bytes]:
        hall = Path(
            self._closing.enter_context(tempfile.TemporaryDirectory(prefix="netkey-"))
        ).resolve()
        scratch = scratch.resolve() if scratch else hall / "scratch"
        scratch.mkdir(exist_ok=True)
        for path in (hall, scratch, INIT, Path(sys.executable)):
            if any(sign in str(path) for sign in " ,:\n"):
                raise GuestMissingError(f"the kernel's command line cannot carry the path {path!s}")
        (hall / "spec.json").write_text(
            json.dumps(
                {
                    "command": command,
                    "environment": {
                        "PATH": f"{Path(sys.executable).parent}:{PATH}",
                        "HOME": "/root",
                        "LANG": "C.UTF-8",
                        "PYTHONDONTWRITEBYTECODE": "1",
                        "NETKEY_SCRATCH": str(scratch),
                        **{k: os.environ[k] for k in ("PYTHONPATH",) if k in os.environ},
                        **environment,
                    },
                    "folder": str(folder.resolve()),
                    "limit": self.limit,
                    "scratch": str(scratch),
                    **self.places(hall),
                }
            )
        )
        self._selector = self._closing.enter_context(selectors.DefaultSelector())
        pipes = []
        for name in ("console", "output", "events"):
            reader, writer = os.pipe()
            self._closing.callback(os.close, reader)
            self._selector.register(reader, selectors.EVENT_READ, name)
            pipes.append(writer)
        self._started = time.monotonic()
        try:
            process = subprocess.Popen(
                self.command_line(hall, scratch, memory, pipes),
                stdin=subprocess.DEVNULL,
                stdout=pipes[0],
                stderr=pipes[0],
                env={
                    "PATH": PATH,
                    "HOME": str(hall),
                    "TMPDIR": str(_memory_folder(memory << 20, hall)),
                },
                pass_fds=pipes,
                cwd="/",
                start_new_session=True,
            )
        finally:
            for writer in pipes:
                os.close(writer)
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)  # unshare takes the whole namespace along
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _event(self, line: str) -> None:
        if line.startswith("up "):
            self.release = line[3:]
            self.boot_seconds = time.monotonic() - self._started
        else:
            self._end = line

    def output(self) -> Iterator[bytes]:
        """The command's output as it comes, until the guest has ended or is given up."""
        while self._selector.get_map():
            now = time.monotonic() - self._started
            deadline = (
                self.boot_seconds + self.limit + REACTION if self.release else self.boot_limit()
            )
            if now > deadline and not self._end:
                self._fail_late()
            for key, _ in self._selector.select(0.25):
                assert isinstance(key.fileobj, int)
                data = os.read(key.fileobj, 1 << 16)
                if not data:
                    self._selector.unregister(key.fileobj)
                elif key.data == "console":
                    self.console += data
                elif key.data == "output":
                    yield data
                else:
                    *lines, self._lines = (self._lines + data).split(b"\n")
                    for line in lines:
                        self._event(line.decode())

    def status(self) -> int:
        """The command's exit status; to be asked for when the output has ended."""
        if self._end.startswith("exit "):
            return int(self._end[5:])
        if self._end == "overtime":
            raise GuestOverTimeError(f"the command ran longer than {self.limit:g} s and was ended")
        if not self.release:
            raise GuestNotUpError(f"the guest ended before it was up{self._last_words()}")
        if b"Kernel panic" in self.console:
            raise GuestDiedError(f"the guest's kernel panicked{self._last_words()}")
        raise GuestDiedError(f"the guest was gone before the command had ended{self._last_words()}")

    def _fail_late(self) -> None:
        if not self.release:
            raise GuestNotUpError(
                f"the guest was not up after {self.boot_limit():g} s{self._last_words()}"
            )
        raise GuestHungError(
            f"the guest hangs: {REACTION:g} s after the limit of {self.limit:g} s it had not ended "
            f"the command{self._last_words()}"
        )

    def _last_words(self, count: int = 20) -> str:
        """The end of the kernel's console, or what follows the first sign of trouble in it."""
        lines = self.console.decode(errors="replace").replace("\r", "").splitlines()
        trouble = next((n for n, line in enumerate(lines) if "Kernel panic" in line), None)
        shown = (
            lines[-count:] if trouble is None else itertools.islice(lines, trouble, trouble + count)
        )
        text = "".join(f"\n    | {line}" for line in shown)
        return f"; its console:{text}" if text else ""


def run(
    command: Sequence[str],
    *,
    write: Callable[[bytes], object],
    scratch: Path | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float = 300.0,
    memory: int = 512,
    kind: type[Guest] = Guest,
) -> int:
    """Run the command in a guest of its own; its output goes to ``write`` as it comes."""
    with kind(
        command,
        scratch=scratch,
        folder=folder,
        environment=environment,
        limit=limit,
        memory=memory,
    ) as guest:
        for data in guest.output():
            write(data)
        return guest.status()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.netkey.uml",
        description="Run COMMAND as root in user-mode Linux, on this file tree.",
        epilog="Exit status: the command's, or 120 missing, 121 did not come up, 122 died, "
        "123 hangs, 124 over time.",
    )
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="writable in the guest")
    parser.add_argument("--memory", type=int, default=512, metavar="MIB")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    options = parser.parse_args()

    def write(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    try:
        return run(
            options.command,
            write=write,
            scratch=options.scratch,
            limit=options.limit,
            memory=options.memory,
        )
    except GuestError as error:
        print(f"uml: {error}", file=sys.stderr)
        return error.status


if __name__ == "__main__":
    sys.exit(main())
