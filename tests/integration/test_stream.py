"""The stream link: unmodified programs between two hosts whose routers talk over TCP, streams that break, and routers that send
what they like."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from exchange import exchange
from freeflow.perftest import Perftest
from lab_checks import wait_for
from places import FREEFLOW, Lab
from programs import ROOT, SOURCES

PORT = 4793
CASES = [(f"ib_{verb}_{kind}", *more) for verb in ("send", "write", "read", "atomic") for kind in ("bw", "lat")
         for more in ([], ["-q", "8"] if kind == "bw" else ["-n", "50"])]
MORE = [("ib_send_bw", "-c", "UC"), ("ib_write_bw", "-c", "UC"), ("ib_send_bw", "-c", "UD"), ("ib_write_bw", "-cXRC"),
        ("ib_send_bw", "--use-srq"), ("ib_write_bw", "-s", "8388608", "-n", "10"), ("ib_read_bw", "-s", "8388608", "-n", "10"),
        ("ib_send_bw", "-b"), ("ib_write_bw", "-s", "64", "-l", "16"), ("ib_send_bw", "-s", "2049")]
CUTS_S = 6


@pytest.fixture(scope="module")
def hosts():
    made = Lab("-stream", host_count=2, container_count=1, link="stream")
    yield made
    made.down()


def nic(lab, host="h1"):
    with lab.control(host) as router:
        return router.call("status")["roce"]


@pytest.mark.parametrize("words", CASES + MORE, ids=" ".join)
def test_programs_run_over_it(hosts, words):
    before = nic(hosts)["counters"]
    count = [] if "-n" in words else ["-n", "208"]
    result = Perftest(hosts.enter, client="h2c1", timeout_s=60).run(*words, *count, "-F")
    assert result.row["#iterations"] > 0
    after = nic(hosts)["counters"]
    if "UD" not in words:
        assert after["frames_received"] > before["frames_received"]
        assert after["datagrams_sent"] - before["datagrams_sent"] < 20, "probes alone"
    assert after["streams_refused"] == 0


def cut(lab):
    """The kernel ends the connection, at both of its ends or what the one tells the other."""
    subprocess.run([*lab.enter("h1"), "ss", "-K", f"sport = {PORT} or dport = {PORT}"], check=True, stdout=subprocess.DEVNULL)


def test_a_stream_that_is_cut_is_made_anew_and_nothing_comes_twice(hosts):
    ended, cuts = threading.Event(), []

    def keep_cutting():
        while not ended.wait(0.25):
            cut(hosts)
            cuts.append(1)

    cutter = threading.Thread(target=keep_cutting)
    before = nic(hosts)["counters"]
    cutter.start()
    try:
        sent, came = exchange(hosts, "rc", CUTS_S)
    finally:
        ended.set()
        cutter.join()
    assert sent == came >= 5 and len(cuts) >= 5
    assert nic(hosts)["counters"]["retransmitted"] + nic(hosts, "h2")["counters"]["retransmitted"] > before["retransmitted"]
    wait_for(lambda: nic(hosts)["streams"] == {"10.31.0.2": True})


def test_without_a_key_it_is_refused(tmp_path):
    done = subprocess.run([*FREEFLOW, "router", "--dir", str(tmp_path), "--link", "stream"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "--link stream needs --key FILE" in done.stderr and done.stderr.count("\n") == 1


def test_a_router_that_sends_what_it_likes_is_cut_off_and_others_go_on(rng):
    made = Lab("-hostile", host_count=2, container_count=2, link="stream")
    try:
        pids = [host["router"]["pid"] for host in made.status()["hosts"]]
        os.kill(pids[1], signal.SIGKILL)
        hostile = made.popen("h2", "env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, SOURCES / "stream_hostile.py", "10.31.0.2",
                             "10.31.0.1", made.plan.key_path, 8, rng.getrandbits(60), mode="plain")
        runs = 0
        while hostile.poll() is None:
            result = Perftest(made.enter, server="h1c1", client="h1c2", timeout_s=60).run("ib_write_bw", "-n", "2000", "-F")
            runs += result.row["#iterations"] > 0
            time.sleep(0.1)
        said, errors = hostile.communicate(timeout=30)
        assert said, errors
        streams, frames = map(int, said.split())
        assert runs >= 1 and streams >= 5 and frames >= 50
        counters = nic(made)["counters"]
        assert counters["streams_refused"] >= 5 and counters["frames_received"] > 0
        assert made.status()["hosts"][0]["router"]["alive"]
    finally:
        made.down()
