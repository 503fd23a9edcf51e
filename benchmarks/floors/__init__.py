"""Floors: small C programs that do the least a thing can cost on this machine, built when first asked for."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "floors"
FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]


def build(name):
    """The path of the compiled floor program, made anew when its source is newer."""
    source, header, program = HERE / f"{name}.c", HERE / "floors.h", BUILD / name
    newest = max(source.stat().st_mtime, header.stat().st_mtime)
    if not program.exists() or program.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", *FLAGS, "-o", str(program), str(source)], check=True)
    return program


def run(name, timeout_s=60, **options):
    """Runs a floor program; option_name=value becomes --option-name value. Returns what it printed, a dict."""
    words = [str(build(name))]
    for option, value in options.items():
        words += ["--" + option.replace("_", "-"), str(int(value))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=True)
    return json.loads(done.stdout)


def relay_us(**options):
    """One way A -> router -> B, at the median."""
    return run("relay", **options)["median_us"]


def copy_gbit_per_s(size, ms=500):
    return run("copy", size=size, ms=ms)["gbit_per_s"]


def rings_million_per_s(**options):
    return run("rings", **options)["million_per_s"]
