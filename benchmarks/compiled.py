"""Compiling the small C programs that measure, when they are first asked for."""

import json
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]


def build(source, *libraries):
    """The path of the compiled program, made anew when its source or a header beside it is newer."""
    program = BUILD / source.stem
    newest = max(path.stat().st_mtime for path in [source, *source.parent.glob("*.h")])
    if not program.exists() or program.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", *FLAGS, "-o", str(program), str(source), *libraries], check=True)
    return program


def words(program, **options):
    """option_name=value becomes --option-name value."""
    made = [str(program)]
    for option, value in options.items():
        made += ["--" + option.replace("_", "-"), str(int(value))]
    return made


def run(command, timeout_s=60, **options):
    """Runs a program that prints one JSON object, and returns that."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)
