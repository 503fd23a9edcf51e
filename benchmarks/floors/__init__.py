"""Floors: small C programs that do the least a thing can cost on this machine."""

from pathlib import Path

from benchmarks.compiled import build, run, words

HERE = Path(__file__).parent


def floor(name, **options):
    """Runs a floor program; returns what it printed, a dict."""
    return run(words(build(HERE / f"{name}.c"), **options))


def relay_us(**options):
    """One way A -> router -> B, at the median."""
    return floor("relay", **options)["median_us"]


def copy_gbit_per_s(size, ms=500):
    return floor("copy", size=size, ms=ms)["gbit_per_s"]


def rings_million_per_s(**options):
    return floor("rings", **options)["million_per_s"]
