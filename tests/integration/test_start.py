"""Every program that Debian builds against libibverbs starts with ours in its place, preloaded or found first.

Starting is: the dynamic loader finds each symbol at its version (all at once: LD_BIND_NOW), and the program says
something of its own. No router runs here, so there is no device, and most are only asked for their help.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "src/ffl/lib/libibverbs.so.1"
LIBRARIES = {"preload": {"LD_PRELOAD": str(LIBRARY)}, "path": {"LD_LIBRARY_PATH": str(LIBRARY.parent)}}
LOADER_COMPLAINTS = re.compile(
    r"symbol lookup error|undefined symbol|version .* not (found|defined)|cannot open shared object|"
    r"cannot be preloaded|relocation error|ImportError")
TIMEOUT_S = 30
NO_ROUTER = {"FREEFLOW_DIR": "/nonexistent"}  # a router of somebody's on this machine is not to be met

# Package -> its programs. One that is not there is a failure: `make build` installs them all.
PROGRAMS = {
    "perftest": """ib_atomic_bw ib_atomic_lat ib_read_bw ib_read_lat ib_send_bw ib_send_lat ib_write_bw ib_write_lat
                   raw_ethernet_burst_lat raw_ethernet_bw raw_ethernet_fs_rate raw_ethernet_lat""",
    "ibverbs-utils": """ibv_asyncwatch ibv_devices ibv_devinfo ibv_rc_pingpong ibv_srq_pingpong ibv_uc_pingpong
                        ibv_ud_pingpong ibv_xsrq_pingpong""",
    "rdmacm-utils": """cmtime mckey rcopy rdma_client rdma_server rdma_xclient rdma_xserver riostream rping rstream
                       ucmatose udaddy udpong""",
    "qperf": "qperf",
    "libfabric-bin": "fi_info fi_pingpong",
    "ucx-utils": "ucx_info ucx_perftest",
}
# What they are started with; "--help" for all others. Some know no help, and then fail for want of a device.
ARGUMENTS = {"fi_info": ["--version"], "ucx_info": ["-d"], "ucx_perftest": ["-h"]}
# Loads libibverbs with a plug-in, after it has read its arguments.
LOADS_LATE = {"ucx_perftest"}

# Package -> shared libraries and plug-ins, each loaded by a process of its own, all symbols bound.
PLUGINS = {
    "ibverbs-providers": "libibverbs/*-rdmav*.so libmlx4.so.1 libmlx5.so.1 libefa.so.1 libmana.so.1",
    "librdmacm1": "librdmacm.so.1 rsocket/librspreload.so",
    "libfabric1": "libfabric.so.1",
    "libucx0": "ucx/libuct_ib.so.0 ucx/libuct_rdmacm.so.0",
    "libopenmpi3": "libmca_common_verbs.so.?? openmpi/lib/openmpi3/mca_btl_openib.so",
    "python3-pyverbs": "/usr/lib/python3/dist-packages/pyverbs/**/*.so",
}
PROGRAM_LIST = [(package, name) for package, names in PROGRAMS.items() for name in names.split()]


def plugin_paths():
    """(package, path); the path is a pattern where it matches nothing, so that what is missing fails by name."""
    found = []
    for package, patterns in PLUGINS.items():
        for pattern in patterns.split():
            pattern = pattern if pattern.startswith("/") else f"/usr/lib/*-linux-gnu/{pattern}"
            paths = sorted(Path("/").glob(pattern.lstrip("/")))
            found += [(package, path) for path in paths] or [(package, Path(pattern))]
    return found


@pytest.fixture(params=LIBRARIES)
def start(request, tmp_path):
    """Runs a command with our library in place of the system's; returns the outcome and what the loader initialised."""

    def run(*command):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LD_")}
        environment |= LIBRARIES[request.param] | NO_ROUTER
        environment |= {"LD_BIND_NOW": "1", "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(tmp_path / "loader")}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
        initialised = set()
        for log in tmp_path.glob("loader.*"):
            initialised |= set(re.findall(r"calling init: (\S+)", log.read_text(errors="replace")))
        return done, initialised

    return run


def check(done, initialised, loads_late=False):
    assert not LOADER_COMPLAINTS.search(done.stdout), done.stdout
    assert done.returncode >= 0, f"killed by signal {-done.returncode}\n{done.stdout}"
    verbs = {path for path in initialised if os.path.basename(path).startswith("libibverbs.so")}
    assert {os.path.realpath(path) for path in verbs} == {str(LIBRARY)} or loads_late and not verbs


@pytest.mark.parametrize("package, program", PROGRAM_LIST, ids=[name for _, name in PROGRAM_LIST])
def test_program_starts(start, package, program):
    try:
        done, initialised = start(program, *ARGUMENTS.get(program, ["--help"]))
    except FileNotFoundError:
        pytest.fail(f"{program} is missing: apt-get install {package} (make build does)")
    assert done.stdout.strip(), "said nothing"
    check(done, initialised, program in LOADS_LATE)


@pytest.mark.parametrize("package, path", plugin_paths(), ids=lambda value: getattr(value, "name", ""))
def test_library_loads(start, package, path):
    assert path.exists(), f"{path} is missing: apt-get install {package} (make build does)"
    done, initialised = start("/usr/bin/python3", "-c", LOADER, str(path))
    assert done.stdout == "loaded\n", done.stdout
    check(done, initialised)


# pyverbs' modules want their package around them, OpenMPI's what mpirun has loaded.
LOADER = """
import ctypes, glob, os, sys
path = sys.argv[1]
ctypes.CDLL("libibverbs.so.1")
if "mca" in path:
    ctypes.CDLL(glob.glob("/usr/lib/*-linux-gnu/libmpi.so.[0-9]*")[0], os.RTLD_NOW | os.RTLD_GLOBAL)
if "/dist-packages/" in path:
    __import__(path.split("/dist-packages/")[1].split(".")[0].replace("/", "."))
else:
    ctypes.CDLL(path, os.RTLD_NOW)
print("loaded")
"""
