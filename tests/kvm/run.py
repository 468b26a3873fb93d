"""`make test-kvm`: the guest suite on kvm_amd, in a machine that QEMU emulates, so that it needs neither AMD nor KVM.

System calls of a guest land in ring 0 there, as with hardware virtualisation; KVM without hardware support shows
nothing of that. A Debian cloud kernel boots with an initramfs of this Python, the packages that the tests import, this
project and what was compiled for it outside: a compiler would take too long in an emulated processor. QEMU and the
kernel are those that are installed, else what apt serves, unpacked under build/kvm and not installed.

    python -m tests.kvm.run [pytest's arguments]

The exit code is pytest's. Where QEMU cannot be had the run is skipped, aloud, with exit code 0. The processor that QEMU
emulates has SVM and no VMX: kvm_intel cannot be tested this way.
"""

import gzip
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from libos.toolchain.packages import cache_folder

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "kvm"
QEMU: Final = "qemu-system-x86_64"
KERNEL_PACKAGE: Final = "linux-image-cloud-amd64"
MODULES: Final = ("irqbypass", "ccp", "kvm", "kvm-amd")  # as they are loaded; a kernel may have some of them built in
PROCESSOR: Final = "EPYC,+svm,+npt,+umip,+smep,+smap"
MEMORY_MIB: Final = 3072
LIMIT_S: Final = 40 * 60
SLOWER: Final = 20  # than outside, for pytest's limit of a test: emulation of code, and of page tables twice
SITE: Final = "site-packages"
PYTEST: Final = ("-p", "no:cacheprovider", "--color=no", "-p", "pytest_timeout")
# Parts of names. Timers that are fine beside the length of a slice, Linux programs within a limit of CPU time, and what
# turns cost that are cut into many: an emulated processor does too little; files stand for all themes of Linux calls.
# Programs that need tools to be built.
NOT_HERE: Final = (
    *("timer_is_as_fine", "waiting_on_a_timer", "time_used_counts_on", "ride_together", "airports"),
    *(
        "kvm-memory",
        "kvm-threads",
        "kvm-signals",
        "kvm-poll",
        "kvm-hostile",
        "cxx",
        "cgi",
        "zig_program",
        "unknown_calls",
    ),
)
INSIDE: Final = (
    "-o",
    f"timeout={120 * SLOWER}",
    "--durations=15",
    "-k",
    " and ".join(f"not {part}" for part in NOT_HERE),
)
COMPILED: Final = ("libos/examples/env.c", "libos/examples/hog.c", "libos/examples/echo.c")
COMPILE: Final = (
    "import pathlib, sys; from libos.toolchain.build import compile_guest; compile_guest(pathlib.Path(sys.argv[1]))"
)
# Without KVM, or with another kind of it, tests would be skipped and nothing would be tested.
CHECK: Final = "import sys; from edge.vmm.engines.kvm import facts; print(facts()); sys.exit(facts().ring)"
ALONE: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # else every plugin that is installed is imported and goes in
PLUGIN: Final = """import pathlib, sys
def pytest_unconfigure():
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    pathlib.Path({!r}).write_text("\\n".join(files))
"""
RESULT: Final = "nunatak-test-kvm: exit code "

# What answers the question of this run: do guests behave on this KVM as elsewhere? Languages and SQLite ask the same of
# an engine as these do, and take long in an emulated processor.
TESTS: Final = (
    "tests/guest/test_ring_0.py",
    "tests/guest/test_leftovers.py",
    "tests/guest/test_cpuid.py",
    "tests/guest/test_system_call.py",
    "tests/guest/test_forbidden.py",
    "tests/guest/test_privileged.py",
    "tests/guest/test_interrupts.py",
    "tests/guest/test_machine.py",
    "tests/guest/test_moving.py",
    "tests/guest/test_live.py",
    "tests/guest/test_disks.py",
    "tests/guest/test_upstreams.py",
    "tests/guest/test_linux.py",
    "tests/unit/test_kvm_missing.py",
    "tests/attack/test_worker_engines.py",
)
PROJECT: Final = ("edge", "libos", "loadtest", "origin", "tests", "vmimage", "pyproject.toml")
NOT_COMPILED: Final = ("zig", "packages", "peers")  # of the cache
OUTSIDE: Final = ("test", "idlelib", "tkinter", "lib2to3", "ensurepip", "site-packages")  # of Python's library


class Missing(Exception):
    """The run cannot be made here; why."""


def main(arguments: Sequence[str]) -> int:
    """Boot, test, and say how it went."""
    tests = list(arguments) or list(TESTS)
    try:
        qemu, environment = find_qemu()
        kernel, modules = find_kernel()
    except Missing as error:
        print(f"test-kvm: SKIPPED, NOTHING WAS TESTED: {error}", flush=True)
        return 0
    print(f"test-kvm: {qemu}, {kernel.name}, -cpu {PROCESSOR}", flush=True)
    packages = rehearse(tests)
    initramfs = BUILD / "initramfs"
    size = pack(initramfs, modules, packages, tests)
    print(f"test-kvm: an initramfs of {size >> 20} MiB; booting", flush=True)
    return boot(qemu, environment, kernel, initramfs)


# QEMU and a kernel


def find_qemu() -> tuple[str, dict[str, str]]:
    """The program and its environment."""
    installed = shutil.which(QEMU)
    if installed:
        return installed, dict(os.environ)
    root = BUILD / "root"
    program = root / "usr/bin" / QEMU
    if not program.exists():
        unpack(packages_of("qemu-system-x86"), root)
    if not program.exists():
        raise Missing(f"{QEMU} is not installed, and the package has none")
    places = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
    return str(program), {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, places))}


def firmware(qemu: str) -> list[str]:
    """Where an unpacked QEMU finds its firmware."""
    share = Path(qemu).parents[1] / "share"
    return [word for name in ("qemu", "seabios") for word in ("-L", str(share / name))]


def find_kernel() -> tuple[Path, Path]:
    """A Debian cloud kernel and its modules."""
    for root in (Path("/"), BUILD / "root"):
        for kernel in sorted(root.glob("boot/vmlinuz-*-cloud-amd64"), reverse=True):
            modules = root / "lib/modules" / kernel.name.removeprefix("vmlinuz-")
            if any(modules.rglob("kvm-amd.ko*")) and os.access(kernel, os.R_OK):
                return kernel, modules
    unpack([depended(KERNEL_PACKAGE)], BUILD / "root")
    found = sorted((BUILD / "root/boot").glob("vmlinuz-*-cloud-amd64"))
    if not found:
        raise Missing(f"{KERNEL_PACKAGE} has no kernel")
    return found[-1], BUILD / "root/lib/modules" / found[-1].name.removeprefix("vmlinuz-")


def apt(*arguments: str) -> str:
    """What a tool of apt prints."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, cwd=BUILD)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{arguments[0]}: {error}") from None
    if done.returncode:
        raise Missing(f"{' '.join(arguments[:3])}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return done.stdout


def packages_of(name: str) -> list[str]:
    """A package and what of its dependencies is not installed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    words = ("apt-get", "--simulate", "--no-install-recommends", "install", name)
    try:
        plan = apt(*words)
    except Missing:
        apt("apt-get", "update")  # lists may be missing in a fresh container
        plan = apt(*words)
    return re.findall(r"^Inst (\S+)", plan, re.MULTILINE)


def depended(name: str) -> str:
    """The package that a metapackage stands for today."""
    BUILD.mkdir(parents=True, exist_ok=True)
    found = re.search(r"Depends: (linux-image-\S+)", apt("apt-cache", "depends", name))
    if found is None:
        raise Missing(f"{name}: a dependency on an image expected, found none")
    return found[1]


def unpack(packages: Sequence[str], root: Path) -> None:
    """Fetch packages and unpack them there, without installing anything."""
    if not shutil.which("dpkg"):
        raise Missing("dpkg expected, to unpack Debian's packages")
    folder = BUILD / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"test-kvm: fetching {len(packages)} packages of Debian", flush=True)
    before = set(folder.iterdir())
    try:
        subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True, capture_output=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(f"apt-get download: {error}") from None
    for package in sorted(set(folder.iterdir()) - before):
        subprocess.run(["dpkg", "--extract", package, root], check=True)


# What goes in


def rehearse(tests: Sequence[str]) -> set[Path]:
    """Run the tests on Unicorn outside, which leaves in the cache what they compile.

    :return: what of site-packages they import.
    """
    folder = BUILD / "plugin"
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / "imported"
    (folder / "list_imports.py").write_text(PLUGIN.format(str(found)))
    environment = {**os.environ, **environment_of_tests(), "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    command = [sys.executable, "-m", "pytest", "-q", *PYTEST, "-p", "list_imports", "-m", "not kvm", *tests]
    print("test-kvm: compiling the guests, by running the tests on Unicorn outside", flush=True)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    for name in COMPILED:  # what only tests of KVM use
        subprocess.run([sys.executable, "-c", COMPILE, str(ROOT / name)], cwd=ROOT, env=environment, check=True)
    if done.returncode not in (0, 5):  # 5: none of them is for Unicorn
        raise SystemExit(f"test-kvm: the tests fail outside already, exit code {done.returncode}")
    parts = [Path(name).parts for name in found.read_text().splitlines()]
    chosen = {Path(*path[: path.index(SITE) + 2]) for path in parts if SITE in path}
    for place in {path.parent for path in chosen}:
        chosen |= {path for path in place.iterdir() if path.suffix in (".dist-info", ".libs", ".pth")}
    return chosen


def environment_of_tests() -> dict[str, str]:
    """Of pytest, outside and inside."""
    return {"XDG_CACHE_HOME": str(cache_folder().parent), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | ALONE


def files_of(top: Path, outside: Iterable[str] = OUTSIDE) -> Iterator[Path]:
    """All files and links below, or itself."""
    if not top.is_dir():
        yield top
        return
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in outside]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in (*names, *links))


def libraries(programs: Iterable[Path]) -> set[Path]:
    """Shared libraries that the loader would load for these, as it names them."""
    found = set()
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(", done.stdout, re.MULTILINE)}
    return found


def pack(out: Path, modules: Path, packages: Iterable[Path], tests: Sequence[str]) -> int:
    """Write the initramfs; its size in bytes. Everything keeps its path, so that nothing has to be told where it is."""
    library = Path(os.__file__).resolve().parent
    interpreter = Path(sys.executable).resolve()
    chosen = {interpreter, Path(sys.prefix) / "pyvenv.cfg"}
    for top in (library, *packages, *(ROOT / name for name in PROJECT)):
        chosen |= set(files_of(top))
    chosen |= set(files_of(cache_folder(), NOT_COMPILED))
    chosen |= libraries(path for path in chosen if path == interpreter or ".so" in path.suffixes)
    for folder in {path.parent for path in chosen}:
        chosen |= set(folder.glob("libgcc_s.so.1"))  # the C library loads it where a thread ends
    with open(out, "wb") as file:
        archive = Archive(file)
        for name in ("dev", "proc", "sys", "tmp", "run"):
            archive.folder(Path("/") / name)
        archive.device(Path("/dev/console"), 5, 1)
        for path in sorted(chosen):
            if path.exists():
                archive.add(path)
        archive.add(Path(sys.executable))
        for name in MODULES:
            for module in modules.rglob(f"{name}.ko*"):
                archive.file(Path("/modules") / f"{name}.ko", plain(module))
        command = [sys.executable, "-m", "pytest", "-v", *PYTEST, *INSIDE, "-m", "kvm", *tests]
        archive.file(Path("/init"), init(interpreter, command).encode(), 0o755)
        archive.end()
        return file.tell()


def plain(module: Path) -> bytes:
    """A kernel module, not compressed."""
    data = module.read_bytes()
    if module.suffix == ".xz":
        import lzma

        return lzma.decompress(data)
    return gzip.decompress(data) if module.suffix == ".gz" else data


def init(interpreter: Path, command: Sequence[str]) -> str:
    """The first program in there: mount, load KVM, test, say the exit code, power off."""
    return f"""#!{interpreter}
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
for name, kind in (("/proc", b"proc"), ("/sys", b"sysfs"), ("/dev", b"devtmpfs")):
    libc.mount(kind, name.encode(), kind, 0, None)
os.mkdir("/dev/shm", 0o1777)
libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, None)
for name in {MODULES!r}:
    try:
        with open(f"/modules/{{name}}.ko", "rb") as file:
            if libc.syscall(313, file.fileno(), b"", 0):
                print("module", name, os.strerror(ctypes.get_errno()))
    except FileNotFoundError:
        pass
environment = {{**os.environ, **{environment_of_tests()!r}, "HOME": "/tmp", "PATH": "/usr/bin:/bin", "TERM": "dumb"}}
environment |= {{"PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}}
try:
    code = subprocess.call([{sys.executable!r}, "-c", {CHECK!r}], cwd={str(ROOT)!r}, env=environment)
    code = code or subprocess.call({list(command)!r}, cwd={str(ROOT)!r}, env=environment)
except BaseException as error:
    print("pytest:", error)
    code = 70
print("{RESULT}" + str(code), flush=True)
libc.sync()
libc.reboot(0x4321FEDC)
"""


class Archive:
    """A cpio archive in the format that the kernel unpacks (driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._done: set[Path] = {Path("/")}
        self._number = 0

    def add(self, path: Path) -> None:
        """A file of this machine under its own path, with what its links lead to."""
        path = self._real(path)
        if path in self._done:
            return
        self._done.add(path)
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
            self._write(path, status.st_mode, target.encode())
            if (path.parent / target).is_file():
                self.add(Path(os.path.normpath(path.parent / target)))
        elif stat.S_ISREG(status.st_mode):
            # The time too: bytecode is good for sources of one time.
            self._write(path, status.st_mode, path.read_bytes(), time_s=int(status.st_mtime))

    def file(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """A file of this content."""
        self.folder(path.parent)
        self._write(path, stat.S_IFREG | mode, data)

    def folder(self, path: Path) -> None:
        """A folder and those that it is in."""
        for folder in (*reversed(path.parents), path):
            if folder not in self._done:
                self._done.add(folder)
                self._write(folder, stat.S_IFDIR | 0o755)

    def device(self, path: Path, major: int, minor: int) -> None:
        """A device of characters."""
        self.folder(path.parent)
        self._write(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def end(self) -> None:
        """Nothing comes after this."""
        self._write(Path("/TRAILER!!!"), 0)

    def _real(self, path: Path) -> Path:
        """Where it is once the folders that it is said to be in are no links; those links are in the archive then."""
        for folder in reversed(path.parents):
            if folder.is_symlink():
                self.add(folder)
        folder = path.parent.resolve()
        self.folder(folder)
        return folder / path.name

    def _write(
        self, path: Path, mode: int, data: bytes = b"", *, time_s: int = 0, device: tuple[int, int] = (0, 0)
    ) -> None:
        self._number += 1
        name = str(path)[1:].encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, time_s, len(data), 0, 0, *device, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
        self._file.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


# The machine


def boot(qemu: str, environment: dict[str, str], kernel: Path, initramfs: Path) -> int:
    """Run it, show what it prints, and return the exit code that it says."""
    line = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr"
    command = ["nice", "-n", "10", qemu, *firmware(qemu), "-accel", "tcg,thread=multi", "-cpu", PROCESSOR]
    command += ["-m", str(MEMORY_MIB), "-smp", "1", "-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"]
    command += ["-kernel", str(kernel), "-initrd", str(initramfs), "-append", line]
    started, code = time.monotonic(), None
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    timer = threading.Timer(LIMIT_S, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            text = raw.decode(errors="replace").rstrip()
            if text.startswith(RESULT):
                code = int(text.removeprefix(RESULT))
            else:
                print(text, flush=True)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    took = time.monotonic() - started
    print(f"test-kvm: {'no result' if code is None else f'exit code {code}'} after {took:.0f} s", flush=True)
    return 1 if code is None else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
