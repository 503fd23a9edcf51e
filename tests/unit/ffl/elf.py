"""What readelf says about a shared library, as plain values."""

import re
import subprocess
from typing import NamedTuple


class Symbol(NamedTuple):
    name: str
    version: str  # "" when it has none
    is_default: bool  # name@@version: what new programs bind to
    kind: str  # FUNC, OBJECT, NOTYPE
    is_defined: bool
    is_weak: bool


def symbols(path):
    """The dynamic symbols of the library, without the version nodes' own."""
    found = []
    for line in readelf("--dyn-syms", path):
        words = line.split()
        if len(words) < 8 or not words[0].rstrip(":").isdigit() or words[4] == "LOCAL":
            continue
        name, at, version = words[7].partition("@")
        if words[6] == "ABS" or not name:
            continue
        found.append(Symbol(name, version.lstrip("@"), version.startswith("@"), words[3], words[6] != "UND",
                            words[4] == "WEAK"))
    return found


def dynamic(path):
    """The dynamic section: tag -> list of values."""
    entries = {}
    for line in readelf("-d", path):
        match = re.match(r"\s*0x[0-9a-f]+ \((\w+)\)\s+(?:.*: )?\[?([^\]]*)", line)
        if match:
            entries.setdefault(match[1], []).append(match[2].strip())
    return entries


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True, text=True).stdout.splitlines()
