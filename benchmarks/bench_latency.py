"""ib_send_lat of 64 bytes beside the relay floor, beside TCP, and beside two CPU hogs."""

from benchmarks import floors
from benchmarks.hogs import hogs
from benchmarks.report import medians
from freeflow import sockets
from freeflow.perftest import typical_us

ROUNDS = 9
SEND_LAT = ("ib_send_lat", "-s", "64", "-n", "5000")
COMMAND = "freeflow lab exec h1c1 -- ib_send_lat -s 64   |   freeflow lab exec h1c2 -- ib_send_lat -s 64 h1c1"


def send_lat(perftest):
    return typical_us(perftest.run(*SEND_LAT).row)


def test_send_over_relay_floor(figure, measured, perftest):
    samples = measured(ROUNDS, ours=lambda: send_lat(perftest), floor=floors.relay_us)
    middle = medians(samples)
    figure("ib_send_lat 64 B", middle["ours"], "µs", basis="one way, median of nine runs", command=COMMAND,
           samples=samples)
    figure("relay floor", middle["floor"], "µs", basis="three processes, one cache line, yielding")
    figure("ib_send_lat 64 B / relay floor", middle["ours"] / middle["floor"], "×", 1.5, command=COMMAND,
           basis=f"{middle['ours']:.2f} µs / {middle['floor']:.2f} µs, nine interleaved runs", samples=samples)


def test_send_over_tcp(figure, measured, perftest, tcp):
    samples = measured(3, ours=lambda: send_lat(perftest), tcp=lambda: sockets.one_way_us(*tcp))
    middle = medians(samples)
    figure("ib_send_lat 64 B / TCP one way", middle["ours"] / middle["tcp"], "×", 1 / 8, command=COMMAND,
           basis=f"{middle['ours']:.2f} µs / {middle['tcp']:.1f} µs of sockperf ping-pong", samples=samples)


def test_send_beside_two_hogs(figure, measured, perftest):
    with hogs(2):
        samples = measured(3, ours=lambda: typical_us(perftest.run("ib_send_lat", "-s", "64", "-n", "2000").row))
    figure("ib_send_lat 64 B beside two CPU hogs", medians(samples)["ours"], "µs", 60, command=COMMAND,
           basis="median of three runs", samples=samples)
