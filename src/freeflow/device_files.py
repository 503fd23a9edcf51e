"""The device as files: /sys/class/infiniband, /sys/class/infiniband_verbs and /dev/infiniband/uverbs0.

FreeFlow's library needs none of them. Others look there instead of asking verbs: UCX (a character device that it may
open, the GIDs' types), Open MPI, ibstat, scripts. So whoever makes a container mounts them (the lab), and `freeflow run`
does when it is root. sysfs takes no directories, so a tmpfs with the same classes covers /sys/class; the relative links
of sysfs still lead where they led.

Where `freeflow run` may not mount, it writes them as plain files into the router's directory, and a library that is
preloaded (src/ffl/files) leads programs there that ask for them.
"""

import os
import pickle
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ffcore.paths import is_private, user_directory
from freeflow import device
from freeflow.errors import FreeFlowError
from freeflow.lab import linux
from freeflow.launch import VERBS_LIBRARY, find_library

CLASSES = Path("/sys/class")
NODES = Path("/dev/infiniband")
LIVE = "net"  # the class whose members come and go while a container lives
PORT_STATES = ("NOP", "DOWN", "INIT", "ARMED", "ACTIVE", "ACTIVE_DEFER")
PHYS_STATES = {2: "Polling", 3: "Disabled", 5: "LinkUp"}
WIDTHS = {1: 1, 2: 4, 4: 8, 8: 12, 16: 2}
# active_speed -> Gb/s of a lane, and its name
SPEEDS = {1: (2.5, "SDR"), 2: (5, "DDR"), 4: (10, "QDR"), 8: (10, "FDR10"), 16: (14, "FDR"), 32: (25, "EDR"),
          64: (50, "HDR"), 128: (100, "NDR")}
EMPTY_GID = bytes(16)
COUNTERS = ("counters", "hw_counters")  # the router's to write: ffr/control/port_counters.py


@dataclass(frozen=True)
class Link:
    """A symbolic link, in a tree of files."""

    to: str


# Reading what an unused entry of the GID table is of fails with EINVAL, and no file of ours can do that. A file of sysfs that does:
# the loopback interface has no speed.
INVALID = Link("/sys/class/net/lo/duplex")


# ---- what the files say ----

def tree(found, cpus):
    """{path below /sys/class: text or Link} of a Device. cpus: how many processors are near it, which is all."""
    uverbs = f"infiniband_verbs/{found.uverbs}"
    # ibstat and its kin ask for the version of the management interface, of which there is no device.
    files = {"infiniband_mad/abi_version": "5", "infiniband_verbs/abi_version": "6", f"{uverbs}/ibdev": found.name, f"{uverbs}/abi_version": "1",
             f"{uverbs}/dev": "1:3", f"{uverbs}/device": Link(f"../../infiniband/{found.name}/device")}
    below = {**_node(found), **_bus(found, cpus)}
    below |= {f"ports/1/{name}": text for name, text in _port(found).items()}
    return files | {f"infiniband/{found.name}/{name}": text for name, text in below.items()}


def _node(found):
    guid = colons(found.guid)
    return {"node_type": "1: CA", "node_guid": guid, "sys_image_guid": guid, "node_desc": found.name,
            "fw_ver": found.firmware, "hw_rev": f"{found.hw_ver:x}", "hca_type": "FreeFlow", "board_id": "FreeFlow"}


def _bus(found, cpus):
    """What a bus would say of the device behind it, and the interfaces that have its addresses."""
    links = {gid.interface: Link(f"../../../../net/{gid.interface}") for gid in found.gids.values() if gid.interface}
    return {f"device/net/{name}": link for name, link in links.items()} | {
            "device/vendor": f"{found.vendor_id:#06x}", "device/device": f"{found.vendor_part_id:#06x}",
            "device/numa_node": "-1", "device/local_cpus": cpu_mask(cpus), "device/local_cpulist": f"0-{cpus - 1}",
            "device/driver": Link("../../../../bus/virtual/drivers/freeflow")}


def _port(found):
    port = found.port
    lanes, (speed, name) = WIDTHS.get(port["active_width"], 1), SPEEDS.get(port["active_speed"], SPEEDS[1])
    files = {"state": f"{port['state']}: {PORT_STATES[port['state']]}",
             "phys_state": f"{port['phys_state']}: {PHYS_STATES.get(port['phys_state'], 'Polling')}",
             "rate": f"{lanes * speed:g} Gb/sec ({lanes}X {name})", "lid": "0x0", "sm_lid": "0x0", "lid_mask_count": "0",
             "sm_sl": "0", "cap_mask": f"{port['port_cap_flags']:#010x}", "link_layer": "Ethernet", "pkeys/0": "0xffff"}
    for index in range(port["gid_tbl_len"]):
        gid = found.gids.get(index)
        files[f"gids/{index}"] = colons(gid.raw if gid else EMPTY_GID)
        files[f"gid_attrs/types/{index}"] = gid.type if gid else INVALID
        files[f"gid_attrs/ndevs/{index}"] = gid.interface if gid and gid.interface else INVALID
    return files


def colons(raw):
    """GUIDs and GIDs as sysfs has them: groups of four hexadecimal digits."""
    return ":".join(raw[at:at + 2].hex() for at in range(0, len(raw), 2))


def cpu_mask(count):
    """The first `count` processors, as sysfs writes masks: words of 32 bits, the highest first."""
    words = []
    mask = (1 << count) - 1
    while mask or not words:
        words.insert(0, f"{mask & 0xffffffff:08x}")
        mask >>= 32
    return ",".join(words)


# ---- where they are mounted ----

def provide(router):
    """For the program that this process is about to become, when the files are not there yet: mounted in a mount namespace
    of its own, if this is root who may do that; else as plain files, whose place is returned, for launch.environment.
    router: RouterPaths. Where neither can be, programs work without."""
    if are_there():
        return None
    try:
        found = ask(router)
        return None if _mounted(found, router) else write_apart(found, router)
    except (FreeFlowError, OSError) as error:  # no device here, or another one's directory
        if os.environ.get("FREEFLOW_LOG") in ("info", "debug"):
            print(f"freeflow: no /sys/class/infiniband: {error}", file=sys.stderr)
    return None


def place_apart(router):
    """Where the plain files go, a directory of this user's alone: the router's, if that is the user's own. Another one's
    router may serve several containers from one directory, and each sees another device. Raises FreeFlowError."""
    if is_private(router.directory):
        return router.files
    own = user_directory()
    own.mkdir(mode=0o700, exist_ok=True)
    if not is_private(own):
        raise FreeFlowError(f"{own} is not this user's alone")
    return own / f"{_own_network()}.files"


def _own_network():
    """The inode number of this process's network namespace."""
    return os.stat("/proc/self/ns/net").st_ino


def _mounted(found, router):
    """Whether this process could mount them for itself. In a container root may not, nor may any other user."""
    if os.geteuid() != 0:
        return False
    try:
        with counters_of(router, _own_network()) as counters:
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount(None, "/", flags=linux.MS_REC | linux.MS_SLAVE)  # what is mounted here is not seen outside
            plant(found)
            show_counters(found, counters)
    except PermissionError:
        return False
    return True


def ask(router):
    """The Device that programs find, asked by a child: the library and its session end with it. Raises FreeFlowError."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.environ["FREEFLOW_DIR"], os.environ["FFR_NAME"] = str(router.directory), router.name
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the program will say itself why it finds no device
            answer = device.describe(find_library(router.directory, VERBS_LIBRARY))
        except BaseException as error:
            answer = str(error) or repr(error)
        with open(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    answer = pickle.loads(said) if said else "the library broke off"
    if isinstance(answer, str):
        raise FreeFlowError(answer)
    return answer


def are_there(name="ff0", uverbs="uverbs0"):
    """Whether somebody has mounted them here already."""
    return (CLASSES / "infiniband" / name / "ports").is_dir() and (NODES / uverbs).exists()


def plant(found):
    """Mounts the files of a Device, for this mount namespace, where the caller must be root. Raises OSError."""
    _cover_classes()
    write(found)
    NODES.mkdir(exist_ok=True)
    linux.mount("freeflow", NODES, "tmpfs", linux.MS_NOSUID, "mode=755,size=64k")
    node = NODES / found.uverbs
    node.touch()
    linux.mount("/dev/null", node, flags=linux.MS_BIND)  # a character device that anybody may open is all they ask for


def write_apart(found, router):
    """The files of a Device as plain ones in a directory that is the caller's (src/ffl/files/place.c: places), for whom the
    router (RouterPaths) serves. Returns the directory. Raises OSError, FreeFlowError."""
    place = place_apart(router)
    place.mkdir(exist_ok=True)
    write(found, place / "class")
    nodes = place / "dev"
    nodes.mkdir(exist_ok=True)
    port = place / "class/infiniband" / found.name / "ports/1"
    links = {port / kind: router.port_counters / str(_own_network()) / kind for kind in COUNTERS}
    for path, to in {nodes / found.uverbs: Path("/dev/null"), **links}.items():
        with suppress(FileExistsError):
            path.symlink_to(to)
    return place


@contextmanager
def counters_of(router, netns):
    """{kind: descriptor} of the folders that the router (RouterPaths) keeps for the container with that network namespace (its
    inode number), to be mounted elsewhere; {} where there are none."""
    found = {}
    try:
        with suppress(FileNotFoundError):
            for kind in COUNTERS:
                found[kind] = linux.open_tree(router.port_counters / str(netns) / kind)
        yield found
    finally:
        for descriptor in found.values():
            os.close(descriptor)


def show_counters(found, counters):
    """Mounts them, read-only; those of a router that is no more go."""
    for kind, descriptor in counters.items():
        place = CLASSES / "infiniband" / found.name / "ports/1" / kind
        place.mkdir(exist_ok=True)
        if os.path.sameopenfile(descriptor, opened := os.open(place, os.O_RDONLY)):
            os.close(opened)
            continue
        os.close(opened)
        with suppress(OSError):  # nothing is mounted there
            linux.unmount(place, linux.MNT_DETACH)
        linux.move_mount(descriptor, place)
        linux.mount(None, place, flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)


def write(found, classes=CLASSES):
    """Fills /sys/class, or brings it up to date: interfaces that have no address of the device's any more are taken away. Each
    file is replaced as a whole, so that nobody reads half of one."""
    files = tree(found, os.cpu_count() or 1)
    for stale in (classes / "infiniband" / found.name / "device/net").glob("*"):
        if not stale.name.startswith(".") and str(stale.relative_to(classes)) not in files:
            stale.unlink(missing_ok=True)
    for name, said in files.items():
        path = classes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")  # several may be writing
        if isinstance(said, Link):
            fresh.symlink_to(said.to)
        else:
            fresh.write_text(said + "\n")
        fresh.rename(path)


def _cover_classes():
    """A tmpfs over /sys/class with everything that is in it. All but LIVE is copied: those are links."""
    copied = {entry.name: list(_links(entry)) for entry in CLASSES.iterdir() if entry.is_dir() and entry.name != LIVE}
    live = linux.open_tree(CLASSES / LIVE) if (CLASSES / LIVE).is_dir() else None
    linux.mount("freeflow", CLASSES, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC, "mode=755,size=4m")
    for name, links in copied.items():
        (CLASSES / name).mkdir()
        for link, to in links:
            (CLASSES / name / link).symlink_to(to)
    if live is not None:
        (CLASSES / LIVE).mkdir()
        linux.move_mount(live, CLASSES / LIVE)
        os.close(live)


def _links(directory):
    with suppress(OSError):  # a class that may not be read
        for entry in directory.iterdir():
            if entry.is_symlink():
                yield entry.name, os.readlink(entry)
