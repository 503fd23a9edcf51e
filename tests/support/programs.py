"""The C programs of tests/programs: compiled when first asked for, and the tests that each of them holds."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "programs"
BUILD = ROOT / "build" / "tests"
BENCH = [SOURCES / "verbs_test.c", SOURCES / "verbs_test.h"]  # what every program shares
FLAGS = ["-O1", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"]


@cache
def program(name):
    """Path of the compiled program, linked to the system's libibverbs as any other program is."""
    source, built = SOURCES / f"{name}.c", BUILD / name
    newest = max(path.stat().st_mtime for path in [source, *BENCH])
    if not built.exists() or built.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", *FLAGS, "-o", str(built), str(source), str(BENCH[0]), "-libverbs"], check=True)
    return built


@cache
def names_in(name):
    """The names of the tests in a program."""
    return subprocess.run([program(name), "--list"], capture_output=True, text=True, check=True).stdout.split()
