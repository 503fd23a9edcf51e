"""Floors: small C programs that do the least a thing can cost on this machine."""

from pathlib import Path

from benchmarks.compiled import build, run, words

HERE = Path(__file__).parent


def floor(name, **options):
    """Runs a floor program; returns what it printed, a dict."""
    return run(words(build(HERE / f"{name}.c"), **options))


def wire_gbit_per_s(from_, to, from_address, to_address, **options):
    """UDP between two named network namespaces, with or without what a RoCE NIC in software has to do besides. Root's."""
    named = ["--from", from_, "--to", to, "--from-address", str(from_address), "--to-address", str(to_address)]
    return run([*words(build(HERE / "wire.c", "-ldl")), *named, *words("", **options)[1:]])["gbit_per_s"]


def relay_us(**options):
    """One way A -> router -> B, at the median."""
    return floor("relay", **options)["median_us"]


def copy_gbit_per_s(size, ms=500):
    return floor("copy", size=size, ms=ms)["gbit_per_s"]


def pingpong_ratio(apart):
    """An AF_UNIX pair's 64-byte ping-pong beside loopback TCP's; its two sides on one core, or on two."""
    said = floor("pingpong", apart=apart)
    return said["unix_us"] / said["tcp_us"]


def rings_million_per_s(**options):
    return floor("rings", **options)["million_per_s"]
