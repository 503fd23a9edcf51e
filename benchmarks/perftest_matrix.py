"""`make perftest-matrix`: every combination of perftest's options that perftest allows, between two lab containers of
one host, or of two.

    make perftest-matrix                                   all of it, some minutes
    make perftest-matrix ARGS="'send.* UD'"                those whose name the pattern (a regular expression) finds
    make perftest-matrix ARGS=--failed                     those that failed, or were not reached, last time
    make perftest-matrix ARGS=--list                       what there is, and what is left out and why
    make perftest-matrix ARGS=--refused                    runs what is left out instead: perftest has to refuse it
    make perftest-matrix ARGS="--hosts 2 --wire-mtu 9000"  between containers of two hosts (3: their wire is a bridge)
    make perftest-matrix ARGS="--part 2/5"                 the second fifth of it

A case passes when both ends exit with 0 and each line of figures holds together (`nonsense`). Exit status 1 when one
failed. What was found is kept in benchmarks/results/perftest-matrix*.json after each case.
"""

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.matrix import ENDLESS, NOT_REFUSED, cases, forbidden
from freeflow.pair import PairError, Side
from freeflow.perftest import (MEBI, PORT, Perftest, clock_disturbed, lab_exec, million_per_s, parse, typical_us,
                               undisturbed)

FREEFLOW = [sys.executable, "-m", "freeflow.cli.main"]
RESULTS = Path(__file__).parent / "results"
TIMEOUT_S = 60
ENDLESS_S = 3.5
BYTES_PER_S_MAX = 500e9  # no memory is faster
LATENCY_US_MAX = 1e6
ROUNDING = 0.05  # perftest prints a rate with as few digits as 0.01, and -q or -b counts both of its clocks


# ---- where ----

@dataclass(frozen=True)
class Where:
    hosts: int = 1
    wire_mtu: int = 1500

    @property
    def client(self):
        return "h1c2" if self.hosts == 1 else "h2c1"

    @property
    def mtu(self):
        """Of RoCE: what fits the wire."""
        return 4096 if self.hosts == 1 else max(size for size in (256, 512, 1024, 2048, 4096) if size + 96 <= self.wire_mtu)

    @property
    def results(self):
        return RESULTS / ("perftest-matrix.json" if self.hosts == 1
                          else f"perftest-matrix-{self.hosts}-hosts-{self.wire_mtu}.json")

    @contextmanager
    def lab(self):
        os.environ["FREEFLOW_LAB"] = f"matrix-{os.getpid()}"
        containers = "2" if self.hosts == 1 else "1"
        subprocess.run([*FREEFLOW, "lab", "up", "--hosts", str(self.hosts), "--containers", containers], check=True,
                       stdout=subprocess.DEVNULL, env=os.environ | {"WIRE_MTU": str(self.wire_mtu)})
        try:
            yield
        finally:
            subprocess.run([*FREEFLOW, "lab", "down"], check=True, stdout=subprocess.DEVNULL)


# ---- are the figures sane? ----

def nonsense_bandwidth(row, size):
    rate = million_per_s(row) * 1e6
    bandwidth = row["BW average[MB/sec]"] * MEBI
    if not (math.isfinite(bandwidth) and bandwidth > 0 and rate > 0):
        return f"{bandwidth:g} bytes/s, {rate:g} messages/s"
    if bandwidth > BYTES_PER_S_MAX:
        return f"{bandwidth:g} bytes/s is more than any memory moves"
    if abs(bandwidth - size * rate) > ROUNDING * bandwidth + 0.01 * MEBI:  # the bandwidth has two digits after the point
        return f"{bandwidth:g} bytes/s are not {size:g} bytes × {rate:g}/s"
    return None


def nonsense_latency(row):
    named = {column: value for column, value in row.items() if column.endswith("[usec]") and "stdev" not in column}
    wrong = {column: value for column, value in named.items() if not 0 < value < LATENCY_US_MAX}
    if wrong or not named:
        return f"latencies {wrong}"
    if "t_typical[usec]" in row and not row["t_min[usec]"] <= row["t_typical[usec]"] <= row["t_max[usec]"]:
        return f"the typical latency is not between the least and the most: {row}"
    return None


def nonsense(case, row):
    """What is wrong with a line of figures, or None."""
    size = row["#bytes"]
    if not row["#iterations"] > 0:
        return "no iterations"
    return nonsense_bandwidth(row, size) if case.kind == "bw" else nonsense_latency(row)


def sizes_wanted(case, rows, mtu=4096):
    if case.way != "-a":
        return None
    top = mtu.bit_length() - 1 if case.transport == "UD" else 23  # a datagram is at most the MTU
    sizes = [row["#bytes"] for row in rows]
    return None if sizes == [2.0 ** n for n in range(1, top + 1)] else f"sizes {sizes}"


def shown(case, row):
    if case.kind == "lat":
        return f"{typical_us(row):.2f} µs"
    return f"{row['BW average[MB/sec]'] * MEBI * 8 / 1e9:.2f} Gb/s, {million_per_s(row):.3f} million/s"


# ---- running one ----

def run_endless(case, where):
    """Both ends run until they are stopped; the client prints a line of figures each second."""
    server, client = undisturbed(lambda: stop_amid(case, where))
    rows = parse(client.stdout)
    if not rows or clock_disturbed(server, client):
        raise PairError(f"{case.name} printed no figures\n{client}\n{server}")
    return rows


def stop_amid(case, where):
    """How (server, client) ended that were stopped after ENDLESS_S; PairError if one has ended by itself."""
    words = [case.program, *case.options, "-p", str(PORT)]
    server = client = None
    try:
        server = Side([*lab_exec("h1c1"), *words])
        server.wait_listening(PORT, 20)
        client = Side([*lab_exec(where.client), *words, "h1c1"])
        time.sleep(ENDLESS_S)
        ended = [side for side in (server, client) if side.process.poll() is not None]
    finally:
        said = [side.stop() for side in (client, server) if side]  # the client first: its server ends with it
    if ended and not clock_disturbed(*said):
        raise PairError("\n".join([f"{case.name} ended by itself", *map(str, said)]))
    return said[1], said[0]


def run(case, where=Where()):
    """(figures for people, None), or (None, why it failed)."""
    try:
        if case.way == ENDLESS:
            rows = run_endless(case, where)
        else:
            rows = Perftest(client=where.client, timeout_s=TIMEOUT_S).run(case.program, *case.options).rows
    except PairError as error:
        return None, str(error)
    wrong = [why for row in rows if (why := nonsense(case, row))]
    wrong += [why for why in [sizes_wanted(case, rows, where.mtu)] if why]
    return (None, "; ".join(wrong)) if wrong else (shown(case, rows[-1]), None)


def run_refused(case):
    """As run(); here it has failed when perftest did it."""
    try:
        Perftest(timeout_s=8).run(case.program, *case.options)
    except PairError as error:
        return last_words(str(error)), None
    return None, "perftest does it: it belongs into the matrix"


def last_words(text):
    """Of a failed pair: what the program said last, in a line."""
    lines = [line.strip() for line in text.splitlines()
             if line.strip() and not re.match(r"\$ |-- |\[exit status|-{20}|\*", line.strip())]
    return lines[-1] if lines else text.strip().splitlines()[-1]


# ---- running all ----

def run_all(chosen, run_one, found, kept=None):
    """Fills `found` {name: {"figure" or "failed": text}}, a case at a time, and writes it to the file `kept`."""
    began, failures = time.monotonic(), 0
    for number, case in enumerate(chosen, 1):
        started = time.monotonic()
        figure, why = run_one(case)
        failures += why is not None
        found[case.name] = {"failed": why} if why else {"figure": figure}
        if kept:
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(found, indent=1))
        took, left = time.monotonic() - started, (time.monotonic() - began) / number * (len(chosen) - number)
        print(f"[{number:3}/{len(chosen)}] {'FAILED' if why else 'ok    '} {case.name:38} "
              f"{last_words(why)[:90] if why else figure}  ({took:.1f} s, {left:.0f} s to go, {failures} failed)", flush=True)


def summary(chosen, found):
    """Prints what ran and what failed. Returns how many failed."""
    reached = [case for case in chosen if case.name in found]
    failed = [case for case in reached if "failed" in found[case.name]]
    for case in failed:
        print(f"\n==== {case.name}\n$ {case.program} {' '.join(case.options)}\n{found[case.name]['failed']}")
    print(f"\n{len(reached)} of {len(chosen)} combinations ran, {len(reached) - len(failed)} passed, {len(failed)} failed"
          + ("".join(f"\n  {case.name}" for case in failed)))
    print(f"{len(forbidden())} more that perftest does not have: ARGS=--list")
    return len(failed)


def refused():
    return [case for case, why in forbidden() if why != NOT_REFUSED]


def part(text):
    """"2/5" -> (2, 5)."""
    number, parts = map(int, text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError
    return number, parts


def print_list():
    for case in cases():
        print(f"runs      {case.name:38} {case.program} {' '.join(case.options)}")
    for case, why in forbidden():
        print(f"left out  {case.name:38} {why}")
    print(f"{len(cases())} run, {len(forbidden())} are left out")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--failed", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--refused", action="store_true")
    parser.add_argument("--hosts", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument("--wire-mtu", type=int, metavar="BYTES", default=1500)
    parser.add_argument("--part", type=part, metavar="I/N", default=(1, 1))
    asked = parser.parse_args()
    if asked.list:
        print_list()
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab goes down then too
    where = Where(asked.hosts, asked.wire_mtu)
    before = json.loads(where.results.read_text()) if (asked.failed or asked.part != (1, 1)) and where.results.exists() else {}
    chosen = [case for case in (refused() if asked.refused else cases())
              if re.search(asked.pattern, case.name) and not (asked.failed and "figure" in before.get(case.name, {}))]
    number, parts = asked.part
    chosen = chosen[number - 1::parts]
    found = dict(before)
    try:
        with where.lab():
            if asked.refused:
                run_all(chosen, run_refused, found)
            else:
                run_all(chosen, partial(run, where=where), found, where.results)
    except KeyboardInterrupt:
        print("stopped")
    return 1 if summary(chosen, found) else 0


if __name__ == "__main__":
    sys.exit(main())
