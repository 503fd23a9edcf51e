"""The libraries that are loaded into programs: what they need, and what they export.

exports/*.txt are the symbols of the libibverbs.so.1 of three releases (rdma-core 44, 56 and 65), "name@version kind".
"""

import re
from pathlib import Path

import musl
import pytest

from ffl_nodes import RELEASES
from . import elf

HERE = Path(__file__).parent
FFL = HERE.parents[2] / "src/ffl"
VERBS = FFL / "lib/libibverbs.so.1"
LIBRARIES = sorted({VERBS, *FFL.glob("lib/*.so.1")})
PRIVATE_NODES = list(RELEASES)
GLIBC_MOST = (2, 28)  # Debian 10, RHEL 8

each_library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.name)


@each_library
def test_needs_libc_alone(library):
    needed = [name for name in elf.dynamic(library)["NEEDED"] if not name.startswith("ld-linux")]
    assert needed == ["libc.so.6"]


@each_library
def test_no_interpreter_is_needed(library):
    undefined = [s.name for s in elf.symbols(library) if not s.is_defined]
    assert [name for name in undefined if re.match(r"_?Py", name)] == []


@each_library
def test_glibc_may_be_old(library):
    newer = [s for s in elf.symbols(library) if s.version.startswith("GLIBC_")
             and (s.version == "GLIBC_PRIVATE" or version_numbers(s.version) > GLIBC_MOST)]
    assert newer == [], "pin these in src/ffl/glibc.h"


@each_library
def test_musl_has_what_is_needed(library):
    """Weak symbols may be missing."""
    needed = {s.name for s in elf.symbols(library) if not s.is_defined and not s.is_weak}
    assert needed - musl.defines() == set()


@each_library
def test_loads_anywhere(library):
    """No text relocations (SELinux refuses them), no search path of the build machine's (session/names.c has its own)."""
    dynamic = elf.dynamic(library)
    assert not {"TEXTREL", "RUNPATH"} & set(dynamic)
    assert dynamic.get("RPATH") == (["$ORIGIN/././././."] if library == VERBS else None)
    assert dynamic["SONAME"] == [library.name]


def test_runs_next_to_nothing_when_it_is_loaded():
    """Programs that never call a verb pay for the C run-time's own entry (frame_dummy), session/names.c's,
    netlink/socket.c's and cm/interposed.c's."""
    assert elf.dynamic(VERBS)["INIT_ARRAYSZ"] == ["32 (bytes)"]


@pytest.mark.parametrize("release", sorted(HERE.glob("exports/*.txt")), ids=lambda path: path.stem)
def test_exports_all_that_a_release_does(release):
    ours = {f"{s.name}@{s.version} {s.kind}" for s in elf.symbols(VERBS) if s.is_defined}
    assert sorted(set(release.read_text().splitlines()) - ours) == []


def test_exports_are_the_table():
    exported = {(s.name, s.version, s.is_default) for s in elf.symbols(VERBS) if s.is_defined}
    assert exported == {(name, version, is_default) for name, _, versions in table()
                        for version, is_default in versions}


def test_implemented_verbs_are_those_that_the_table_calls_so():
    written = set()
    for source in FFL.rglob("*.pyx"):
        written |= set(re.findall(r"^cdef public [^(=]*\bffv_(\w+)\(", source.read_text(), re.MULTILINE))
    assert written == {name for name, how, _ in table() if how == "implemented"}


def version_numbers(version):
    return tuple(int(number) for number in version.removeprefix("GLIBC_").split("."))


def table():
    """abi.def: (name, how, [(version, is_default)])."""
    rows = re.findall(r"^(\w+)\(([^()]*)\)$", (FFL / "abi.def").read_text(), re.MULTILINE)
    for word, arguments in rows:
        name, *rest = arguments.split(", ")
        if word == "PRIVATE_NUMBERED":
            yield from ((f"{name}{node}", rest[-1], [(f"IBVERBS_PRIVATE_{node}", True)]) for node in PRIVATE_NODES)
            continue
        private = [(f"IBVERBS_PRIVATE_{node}", node == 34) for node in PRIVATE_NODES]
        versions = {
            "VERB": lambda: [(f"IBVERBS_{rest[0]}", True)],
            "VERB_ALSO_1_0": lambda: [(f"IBVERBS_{rest[0]}", True), ("IBVERBS_1.0", False)],
            "OLD_VERB": lambda: [(f"IBVERBS_{rest[0]}", False)],
            "PRIVATE": lambda: private,
            "PRIVATE_BYTE": lambda: private,
        }[word]()
        yield name, rest[-1] if rest else "data", versions
