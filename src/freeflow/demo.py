"""`make demo`: Debian's own perftest between two containers that have no RDMA hardware, and TCP beside it.

Brings a lab of its own up, shows the device that a program finds in a container, runs the eight tests with their own
output, measures TCP between the same two containers, and ends with one table. Takes the lab down however it ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from freeflow import machine, sockets
from freeflow.errors import FreeFlowError
from freeflow.pair import PairError
from freeflow.perftest import Perftest, gbit_per_s, lab_exec, million_per_s, typical_us

FREEFLOW = [sys.executable, "-m", "freeflow.cli.main"]
SERVER, CLIENT = "h1c1", "h1c2"
TIMEOUT_S = 40  # of one test; each takes about a second
MESSAGE = 64  # bytes, of the latency tests and of TCP's ping-pong


@dataclass(frozen=True)
class Test:
    """A perftest program, its options, and what of TCP it is set beside."""

    program: str
    options: tuple
    read: object  # row -> figure
    unit: str
    against: str | None = None  # "bandwidth", "one way", "round trip"


TESTS = [
    Test("ib_send_bw", ("-n", 20000), gbit_per_s, "Gb/s", "bandwidth"),
    Test("ib_send_lat", ("-s", MESSAGE), typical_us, "µs", "one way"),
    Test("ib_write_bw", ("-n", 20000), gbit_per_s, "Gb/s", "bandwidth"),
    Test("ib_write_lat", ("-s", MESSAGE), typical_us, "µs", "one way"),
    Test("ib_read_bw", ("-n", 20000), gbit_per_s, "Gb/s", "bandwidth"),
    Test("ib_read_lat", ("-s", MESSAGE), typical_us, "µs", "round trip"),
    Test("ib_atomic_bw", ("-n", 50000), million_per_s, "million/s"),
    Test("ib_atomic_lat", (), typical_us, "µs", "round trip"),
]


class Show:
    """Says what is going on, with the time since the start."""

    def __init__(self):
        self.console, self.began = Console(highlight=False), time.monotonic()

    def step(self, text):
        self.console.rule(f"[bold]{text}[/]  [dim]{time.monotonic() - self.began:.0f} s[/]", align="left")

    def text(self, text):
        self.console.print(text.strip("\n"), markup=False, soft_wrap=True)


def freeflow(*words):
    """One `freeflow` command, its output shown as it comes."""
    if subprocess.run([*FREEFLOW, *words], stdin=subprocess.DEVNULL).returncode != 0:
        raise FreeFlowError(f"freeflow {' '.join(words)} failed")


@contextmanager
def lab(show):
    """A lab of this demo's own, gone at the end, also after Ctrl-C."""
    os.environ["FREEFLOW_LAB"] = f"demo-{os.getpid()}"
    try:
        show.step("A lab: one host, its router, two containers")
        freeflow("lab", "up", "--hosts", "1", "--containers", "2")
        yield
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half a lab
        show.step("Taking the lab down")
        freeflow("lab", "down")
        signal.signal(signal.SIGINT, before)


def address_of(container):
    status = subprocess.run([*FREEFLOW, "lab", "status", "--json"], capture_output=True, text=True, check=True)
    found = [each["ip"] for host in json.loads(status.stdout)["hosts"] for each in host["containers"]
             if each["name"] == container]
    return found[0]


def show_device(show):
    show.step(f"What a program in {SERVER} finds: ibv_devinfo")
    done = subprocess.run([*lab_exec(SERVER), "ibv_devinfo"], capture_output=True, text=True, timeout=TIMEOUT_S)
    show.text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise FreeFlowError("ibv_devinfo found no device")


def run_tests(show):
    """Every perftest, {program: figure}; the output of the client's side is shown as it was."""
    perftest, figures = Perftest(lab_exec, SERVER, CLIENT, TIMEOUT_S), {}
    for number, test in enumerate(TESTS, 1):
        words = " ".join(map(str, (test.program, *test.options)))
        show.step(f"{number} of {len(TESTS)}: {words}, from {CLIENT} to {SERVER}")
        result = perftest.run(test.program, *test.options)
        show.text(result.client.stdout)
        figures[test.program] = test.read(result.row)
    return figures


def run_tcp(show):
    """TCP between the same two containers, without FreeFlow: {what: figure}, and how it is set up."""
    show.step("TCP between the same two containers: iperf3, sockperf ping-pong")
    server, client = lab_exec(SERVER, "--plain"), lab_exec(CLIENT, "--plain")
    address = address_of(SERVER)
    bandwidth = sockets.gbit_per_s(server, client, address)
    one_way = sockets.one_way_us(server, client, address, MESSAGE)
    show.text(f"iperf3, one stream: {bandwidth:.1f} Gb/s\nsockperf, {MESSAGE} B ping-pong: {one_way:.1f} µs one way")
    return {"bandwidth": bandwidth, "one way": one_way, "round trip": 2 * one_way}, sockets.describe(client)


def table(figures, tcp, tcp_setup, described):
    drawn = Table(title=f"RDMA and TCP between {CLIENT} and {SERVER}, in this run", box=box.SIMPLE_HEAD,
                  title_justify="left", caption=f"TCP: {tcp_setup}. {machine.one_line(described)}.",
                  caption_justify="left")
    drawn.add_column("")
    for heading in ("through FreeFlow", "TCP", "ratio"):
        drawn.add_column(heading, justify="right")
    for test in TESTS:
        ours = figures[test.program]
        if test.against is None:
            drawn.add_row(test.program, f"{ours:.2f} {test.unit}", "", "")
            continue
        theirs = tcp[test.against]
        ratio = ours / theirs if test.against == "bandwidth" else theirs / ours
        better = "as much" if test.against == "bandwidth" else "as fast"
        drawn.add_row(test.program, f"{ours:.2f} {test.unit}", f"{theirs:.1f} {test.unit} {test.against}".replace(
            " bandwidth", ""), f"{two_digits(ratio)} × {better}")
    return drawn


def two_digits(ratio):
    """5.3, 0.083: a ratio far below one is not 0.0."""
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2g}"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab goes down then too
    show = Show()
    if os.geteuid():
        show.text("A lab is made of namespaces, and those need root. Without root, in two terminals: "
                  "freeflow run -- ib_send_bw, and freeflow run -- ib_send_bw localhost")
        return 1
    before = machine.describe()  # the demo is a load itself
    try:
        with lab(show):
            show_device(show)
            figures = run_tests(show)
            tcp, tcp_setup = run_tcp(show)
    except KeyboardInterrupt:
        show.text("stopped")
        return 130
    except (PairError, FreeFlowError, OSError, subprocess.TimeoutExpired) as error:
        show.text(f"The demo failed: {error}")
        return 1
    show.console.print(table(figures, tcp, tcp_setup, before))
    if before["load_before"] > before["cores"] / 2:
        show.text("The machine was busy with other things: bandwidths and above all latencies say as much about those.")
    show.text(f"Done after {time.monotonic() - show.began:.0f} s. The same by hand: freeflow lab up; freeflow lab exec "
              f"{SERVER} -- ib_send_bw & sleep 1; freeflow lab exec {CLIENT} -- ib_send_bw {SERVER}; freeflow lab down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
