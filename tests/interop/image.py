"""A Linux to talk to: Debian's kernel with rxe, in an initramfs that holds perftest and little else.

The programs and libraries are this machine's own, copied; the kernel comes from this machine's apt. Nothing is installed:
the package is unpacked below build/interop, which is also where the results stay until one of the inputs changes.
"""

import hashlib
import platform
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "interop"
INIT, AGENT = Path(__file__).with_name("guest-init"), Path(__file__).with_name("guest-agent")
KERNELS = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64"}
PROGRAMS = [f"ib_{verb}_{kind}" for verb in ("send", "write", "read", "atomic") for kind in ("bw", "lat")] + [
    "ibv_devinfo", "ibv_rc_pingpong", "ibv_uc_pingpong", "ibv_ud_pingpong", "rdma"]
MODULES = ["virtio_pci", "virtio_net", "crc32_generic", "rdma_rxe", "ib_uverbs", "rdma_ucm"]  # rxe asks for crc32 by name


def built():
    """(kernel, initramfs), made anew when something that they are made of has changed."""
    package = kernel_package()
    made_of = "\n".join([package, INIT.read_text(), AGENT.read_text(), Path(__file__).read_text()]
                        + [f"{path} {path.stat().st_mtime_ns}" for path in programs()])
    stamp, kernel, initramfs = BUILD / "stamp", BUILD / "vmlinuz", BUILD / "initramfs.gz"
    wanted = hashlib.sha256(made_of.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(BUILD, ignore_errors=True)
        (BUILD / "root").mkdir(parents=True)
        shutil.copy(unpack_kernel(package), kernel)
        furnish(BUILD / "root")
        pack(BUILD / "root", initramfs)
        for directory in ("root", "kernel"):
            shutil.rmtree(BUILD / directory)
        stamp.write_text(wanted)
    return kernel, initramfs


def kernel_package():
    """The one that Debian's newest-kernel package stands for."""
    wanted = KERNELS[platform.machine()]
    found = re.search(r"Depends: (linux-image-\d\S+)", run("apt-cache", "depends", wanted))
    assert found, f"apt knows no {wanted}: apt-get update"
    return found[1]


def unpack_kernel(package):
    """Returns the kernel's path; its modules are below BUILD/kernel."""
    directory = BUILD / "kernel"
    directory.mkdir()
    run("apt-get", "-q", "download", package, cwd=directory)
    deb, = directory.glob("*.deb")
    run("dpkg-deb", "-x", deb, directory)
    return next((directory / "boot").glob("vmlinuz-*"))


def programs():
    return [Path(shutil.which(name) or f"/missing/{name}") for name in PROGRAMS] + [Path("/bin/busybox")]


def furnish(root):
    for directory in ("bin", "proc", "sys", "dev", "tmp", "etc", "modules"):
        (root / directory).mkdir()
    for path in programs():
        shutil.copy(path, root / "bin")
    provider = next(Path("/usr/lib").glob("*-linux-gnu/libibverbs/librxe-rdmav*.so"))
    libraries = {provider} | set().union(*(needed(path) for path in [*programs(), provider]))
    for path in [*libraries, Path("/etc/libibverbs.d/rxe.driver")]:
        there = root / path.relative_to("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    shutil.copy(INIT, root / "init")
    shutil.copy(AGENT, root / "bin/agent")
    (root / "modules/order").write_text("".join(f"{name}\n" for name in copy_modules(root / "modules")))


def needed(path):
    """The shared objects that a program loads, its loader among them."""
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", path], capture_output=True, text=True).stdout)}


def copy_modules(to):
    """The modules wanted and all that they need, in the order of their loading."""
    base = next((BUILD / "kernel").glob("**/modules.builtin")).parent
    above = base.parents[2]  # of lib/modules/VERSION
    run("depmod", "-b", above, base.name)
    order = []
    for line in run("modprobe", "-d", above, "-S", base.name, "-a", "--show-depends", *MODULES).splitlines():
        if line.startswith("insmod") and (path := Path(line.split()[1])).name not in order:
            shutil.copy(path, to)
            order.append(path.name)
    return order


def pack(root, to):
    names = "\0".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = subprocess.run(["cpio", "-0o", "-Hnewc", "--quiet"], cwd=root, input=names.encode(), stdout=subprocess.PIPE,
                             check=True).stdout
    to.write_bytes(subprocess.run(["gzip", "-1"], input=archive, stdout=subprocess.PIPE, check=True).stdout)


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}"
    return done.stdout
