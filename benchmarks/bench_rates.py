"""The rate limiter: one flow set to one rate after the other, four pairs with four rates, and what rates cost that nobody has."""

import re
import statistics
import time

import pytest

from benchmarks.report import medians
from freeflow.control import Control
from freeflow.lab.model import ROUTER_NAME
from freeflow.pair import Side
from freeflow.perftest import Perftest
from freeflow.stats import Counters
from places import Lab
from policies import put

SPAN_S = 2.0
TRIES = 3
ONE_HOST = [0.01, 1, 2, 5, 10, 20, 40]  # Gb/s: the sweep of the paper, and a slow one
TWO_HOSTS = [0.01, 1, 2, 5, 10]
COMMAND = "[rate.containers.h1c2] bits_per_s = …; freeflow lab exec h1c1 -- ib_write_bw -D 9 | freeflow lab exec h1c2 -- ib_write_bw -D 9 h1c1"


class Rated:
    """A lab whose policy file is this one's to write."""

    def __init__(self, path, **plan):
        self.path = path
        path.write_text("")
        self.lab = Lab("-rates", policy=str(path), **plan)
        self.directory = self.lab.plan.find("h1").router_directory

    def use(self, text):
        put(self.path, text)
        wanted = {record: float(value) for record, value in re.findall(r"\[(rate\.[\w.]+)\]\n\w+ = (\S+)", text)}
        deadline = time.monotonic() + 20
        while not wanted.items() <= self.shown().items():
            assert time.monotonic() < deadline, (wanted, self.shown())
            time.sleep(0.05)

    def shown(self):
        with Control(self.directory, ROUTER_NAME) as router:
            names = [row["name"] for row in router.call("container.list")["containers"]]
            return {record: rate["bits_per_s"] for name in names
                    for record, rate in router.call("policy.show", container=name)["rates"].items()}

    def sent(self):
        """{container: bytes}."""
        rows = Counters.of_router(self.directory, ROUTER_NAME).sessions()
        return {row["container"].decode(): int(row["tx_bytes"]) for row in rows}

    def start(self, server, client, port, size=4096):
        words = ["ib_write_bw", "-D", "60", "-s", str(size), "-p", str(port)]
        below = Side(self.lab.words(server, *words), self.lab.variables())
        below.wait_listening(port, 20)
        return below, Side(self.lab.words(client, *words, self.lab.plan.find(server).address), self.lab.variables())

    def gbit_per_s(self):
        """{container: Gb/s} over SPAN_S."""
        time.sleep(0.2)
        before, began = self.sent(), time.monotonic()
        time.sleep(SPAN_S)
        after, took_s = self.sent(), time.monotonic() - began
        return {name: 8e-9 * (after[name] - before.get(name, 0)) / took_s for name in after}


def closest(measure, wanted):
    """The error of the best of some tries, percent: a shared machine stops now and then for longer than a millisecond."""
    return min(abs(measure() / wanted - 1) * 100 for _ in range(TRIES))


@pytest.mark.parametrize("server, rates, hosts", [("h1c1", ONE_HOST, 1), ("h2c1", TWO_HOSTS, 2)], ids=["one_host", "two_hosts"])
def test_sweep(figure, tmp_path, server, rates, hosts):
    rated = Rated(tmp_path / "policy.toml", host_count=hosts, container_count=2)
    running = []
    try:
        running += rated.start(server, "h1c2", 18801)
        for rate in rates:
            rated.use(f"[rate.containers.h1c2]\nbits_per_s = {rate * 1e9}\n")
            error = closest(lambda: rated.gbit_per_s()["h1c2"], rate)
            figure(f"rate limiter, {'one host' if hosts == 1 else 'two hosts'}, {rate:g} Gb/s: error over 2 s", error, "%", 1.0, command=COMMAND)
    finally:
        for side in running:
            side.stop()
        rated.lab.down()


def test_four_pairs_with_four_rates(figure, tmp_path):
    wanted = {f"h1c{2 * number}": rate for number, rate in enumerate((1, 2, 4, 8), 1)}
    rated = Rated(tmp_path / "policy.toml", host_count=1, container_count=8)
    running = []
    try:
        rated.use("".join(f"[rate.containers.{name}]\nbits_per_s = {rate * 1e9}\n" for name, rate in wanted.items()))
        for name in wanted:
            running += rated.start(f"h1c{int(name[3:]) - 1}", name, 18800 + int(name[3:]))
        tries = [rated.gbit_per_s() for _ in range(TRIES)]
        for name, rate in wanted.items():
            error = min(abs(one[name] / rate - 1) * 100 for one in tries)
            figure(f"four pairs at once, the one with {rate} Gb/s: error over 2 s", error, "%", 1.0, command="make bench ARGS='-k four_pairs'")
    finally:
        for side in running:
            side.stop()
        rated.lab.down()


def test_rates_that_nobody_has(figure, measured, tmp_path):
    """A thousand tenants' rates and rules, none of which applies."""
    rated = Rated(tmp_path / "policy.toml", host_count=1, container_count=2)
    many = "".join(f"[rate.tenants.t{number}]\nbits_per_s = 1e9\n[[reach.allow]]\nfrom = 't{number}'\nto = 'u{number}'\n" for number in range(1000))
    perftest = Perftest(lambda place: ["env", f"FREEFLOW_LAB={rated.lab.name}", *rated.lab.words(place)], "h1c1", "h1c2")

    def policy(text):
        put(rated.path, text)
        time.sleep(1.5)

    def with_policy(text):
        def one():
            policy(text)
            return statistics.median(perftest.run("ib_send_lat", "-s", 64, "-n", 20000).row["t_typical[usec]"] for _ in range(3))
        return one
    try:
        middle = medians(measured(5, without=with_policy(""), with_many=with_policy(many)))
        figure("ib_send_lat 64 B with 1000 policies that do not apply / without", middle["with_many"] / middle["without"], "×", 1.05,
               command="make bench ARGS='-k nobody_has'", basis=f"{middle['with_many']:.2f} / {middle['without']:.2f} us")
    finally:
        rated.lab.down()
