"""Programs of another C library, musl, as images of Alpine have them: what it defines, and a compiler for it."""

import subprocess
from pathlib import Path

LIBRARY = Path("/lib/ld-musl-x86_64.so.1")  # of Debian's package musl; musl-gcc is of musl-tools


def defines():
    """The names that a library can count on there."""
    lines = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], text=True, check=True, stdout=subprocess.PIPE).stdout
    return {line.split()[-1].partition("@")[0] for line in lines.splitlines()}


def compile(source, target):
    """source (C) as a dynamic program at target."""
    subprocess.run(["musl-gcc", "-O1", "-o", target, "-x", "c", "-"], input=source, text=True, check=True)
    return target
