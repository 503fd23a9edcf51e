"""The C programs of tests/programs: compiled when first asked for, and the tests that each of them holds."""

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "programs"
BUILD = ROOT / "build" / "tests"
SHARED = [SOURCES / f"{name}.{kind}" for name in ("verbs_test", "qp_steps") for kind in ("c", "h")]
FLAGS = ["-O1", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror",
         "-I", str(ROOT / "src")]  # for those that speak to the router without the library


@cache
def program(name):
    """Path of the compiled program, linked to the system's libibverbs as any other program is."""
    source, built = SOURCES / f"{name}.c", BUILD / name
    newest = max(path.stat().st_mtime for path in [source, *SHARED, *SOURCES.glob("*.h")])
    if not built.exists() or built.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", *FLAGS, "-o", str(built), str(source), *map(str, SHARED[::2]), "-libverbs"], check=True)
    return built


@cache
def names_in(name):
    """The names of the tests in a program."""
    return subprocess.run([program(name), "--list"], capture_output=True, text=True, check=True).stdout.split()


def cases(prefix):
    """(source, name of a test in it) of every program whose name begins so."""
    return [(path.stem, name) for path in sorted(SOURCES.glob(f"{prefix}_*.c")) for name in names_in(path.stem)]


def run_case(router, source, name, heard=""):
    """Runs one test of a program with this Router. heard: what the library is to have said on stderr meanwhile, a
    regular expression; a program that does nothing unusual hears nothing."""
    done = router.run(program(source), name)
    assert done.stdout == f"ok {name}\n", done.stdout + done.stderr
    assert re.fullmatch(heard, done.stderr), done.stderr
