"""Between two hosts, over the wire: unmodified programs whose packets the roce NIC carries."""

import json
import math
import os
import signal
import time

import pytest

from ffcore import icrc
from ffr.nic.roce.protocol import wire
from freeflow.control import Control
from freeflow.lab.model import ROUTER_NAME
from freeflow.pair import Side, run_pair
from freeflow.perftest import Perftest
from lab_checks import wait_for
from places import Lab
from programs import SOURCES, names_in, program

VARIATIONS = {"plain": [], "events": ["-e"], "bidirectional": ["-b"], "8-qps": ["-q", "8"], "inline": ["-I", "64", "-s", "64"],
              "post-list": ["-l", "16"], "1MB": ["-s", "1048576"], "all-sizes": ["-a"]}
# Of several QPs perftest counts a completion as 100 messages: a number that is no multiple, and the first QPs' last ones count for
# what the others have not sent, and it waits for ever.
FEW = {"1MB": "20", "all-sizes": "5", "8-qps": "200"}


@pytest.fixture(scope="module")
def hosts():
    """Two hosts with a container each, joined by a wire of Ethernet's usual MTU."""
    made = Lab("-roce", host_count=2, container_count=1)
    yield made
    made.down()


def nic(lab, host):
    """What a host's router says of its roce NIC."""
    with Control(str(lab.plan.find(host).router_directory), ROUTER_NAME) as router:
        return router.call("status")["roce"]


def allowed(verb, kind, variation):
    match variation:
        case "events":
            return verb != "write"
        case "bidirectional" | "8-qps" | "post-list":
            return kind == "bw"
        case "all-sizes":
            return verb != "atomic" and kind == "bw"
        case "1MB":
            return verb != "atomic"
        case "inline":
            return verb in ("send", "write")
    return True


CASES = [(verb, kind, variation) for verb in ("send", "write", "read", "atomic") for kind in ("bw", "lat")
         for variation in VARIATIONS if allowed(verb, kind, variation)]


@pytest.mark.parametrize("verb, kind, variation", CASES)
def test_rc(hosts, verb, kind, variation):
    options = [*VARIATIONS[variation], "-n", FEW.get(variation, "208"), "-F"]
    result = Perftest(hosts.enter, client="h2c1", timeout_s=60).run(f"ib_{verb}_{kind}", *options)
    assert len(result.rows) == (23 if variation == "all-sizes" else 1)
    assert all(row["#iterations"] > 0 and math.isfinite(sum(row.values())) for row in result.rows)


UNRELIABLE = [(transport, verb, kind, variation) for transport, verbs in (("UC", ("send", "write")), ("UD", ("send",)))
              for verb in verbs for kind in ("bw", "lat") for variation in VARIATIONS
              if allowed(verb, kind, variation) and (transport == "UC" or variation != "1MB")]


@pytest.mark.parametrize("transport, verb, kind, variation", UNRELIABLE)
def test_unreliable(hosts, transport, verb, kind, variation):
    options = [*VARIATIONS[variation], "-n", FEW.get(variation, "208"), "-F", "-c", transport]
    result = Perftest(hosts.enter, client="h2c1", timeout_s=60).run(f"ib_{verb}_{kind}", *options)
    rows = 1 if variation != "all-sizes" else 23 if transport == "UC" else 10  # a datagram is at most the MTU, 2^10
    assert len(result.rows) == rows and all(row["#iterations"] > 0 for row in result.rows)


def stall(process, until, turns=100, stopped_s=0.06, running_s=0.03):
    """Stops a process for a while, again and again."""
    for _ in range(turns):
        if until():
            return
        os.kill(process, signal.SIGSTOP)
        time.sleep(stopped_s)
        os.kill(process, signal.SIGCONT)
        time.sleep(running_s)


def test_unacknowledged_waits_for_a_router_that_does_not_run(hosts):
    """UC loses what a socket's buffer cannot hold, and ib_send_bw never ends then: a router that gets no core for some
    time holds its senders up instead."""
    words = ["ib_send_bw", "-c", "UC", "-n", "6000", "-r", "6000", "-F", "-p", "18600"]
    server = Side([*hosts.enter("h1c1"), *words])
    server.wait_listening(18600, 20)
    client = Side([*hosts.enter("h2c1"), *words, "h1c1"])
    stall(hosts.status()["hosts"][0]["router"]["pid"], lambda: client.process.poll() is not None)
    ended = [client.wait(30), server.wait(10)]
    assert [side.status for side in ended] == [0, 0], f"{ended[0]}\n{ended[1]}"


SHARED = [("--use-srq", verb, kind, options) for verb, kind, options in (
    ("send", "bw", []), ("send", "lat", []), ("send", "bw", ["-q", "8", "-n", "200"]), ("send", "bw", ["-c", "UC"]),
    ("send", "bw", ["-c", "UD"]), ("send", "bw", ["-s", "1048576", "-n", "20"]))]
XRC = [("-cXRC", verb, kind, options) for verb, kind, options in (
    ("send", "bw", []), ("send", "lat", []), ("send", "bw", ["-q", "8", "-n", "200"]), ("send", "bw", ["-b"]), ("write", "bw", []),
    ("write", "lat", []), ("read", "bw", []), ("read", "lat", []), ("atomic", "bw", []), ("atomic", "lat", []),
    ("send", "bw", ["-s", "1048576", "-n", "20"]))]


@pytest.mark.parametrize("how, verb, kind, options", SHARED + XRC, ids=str)
def test_shared_queues(hosts, how, verb, kind, options):
    result = Perftest(hosts.enter, client="h2c1", timeout_s=60).run(f"ib_{verb}_{kind}", how, "-n", "208", "-F", *options)
    assert result.row["#iterations"] > 0


IPV4_GROUP = "0:0:0:0:0:0:0:0:0:0:255:255:239:1:1:1"


@pytest.mark.parametrize("program", ["ib_send_bw", "ib_send_lat"])
def test_multicast(hosts, program):
    result = Perftest(hosts.enter, client="h2c1").run(program, "-c", "UD", "-n", 200, "-g", "-M", IPV4_GROUP)
    assert result.row["#iterations"] > 0


def test_a_datagram_says_who_sent_it(hosts):
    """The virtual addresses, which the outer IP header does not have, in completion, GRH and the handle made of them."""
    words = {name: ["/usr/bin/python3", hosts.put(name, SOURCES / "pyverbs_ud.py")] for name in ("h1c1", "h2c1")}
    server, client = run_pair([*hosts.enter("h1c1"), *words["h1c1"], "server"],
                              [*hosts.enter("h2c1"), *words["h2c1"], "client", "h1c1"], 18517)
    assert (server.stdout, client.stdout) == ("ok\n", "ok\n"), f"{server}\n{client}"


@pytest.mark.parametrize("transport", ["rc", "uc", "ud", "srq", "xsrq"])
def test_pingpong(hosts, transport):
    words = [f"ibv_{transport}_pingpong", "-g", "0"]
    server, client = run_pair([*hosts.enter("h1c1"), *words], [*hosts.enter("h2c1"), *words, "h1c1"], 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"


@pytest.mark.parametrize("kind", names_in("wire_windows"))
def test_memory_windows(hosts, kind):
    """Binds on one host; WRITE, READ and SEND with invalidate from the other."""
    words = {place: hosts.put(place, program("wire_windows")) for place in ("h1c1", "h2c1")}
    sides = [hosts.popen("h1c1", words["h1c1"], kind),
             hosts.popen("h2c1", "env", f"WINDOWS_PEER={hosts.plan.find('h1c1').address}", words["h2c1"], kind)]
    for side in sides:
        out, err = side.communicate(timeout=60)
        assert out == f"ok {kind}\n", out + err


def test_a_router_that_echoes_nothing_holds_up_only_what_nobody_acknowledges(hosts):
    """UC waits for echoes; RC of the same two hosts, which needs none, does not wait behind it."""
    echo_lost = "add table inet mute; add chain inet mute in { type filter hook input priority 0; };" \
                "add rule inet mute in udp dport 4791 @th,64,8 0xe1 drop"
    assert hosts.exec("h2", "nft", echo_lost).returncode == 0
    try:
        words = ["ib_send_bw", "-c", "UC", "-D", "12", "-F", "-p", "18601"]
        server = Side([*hosts.enter("h1c1"), *words])
        server.wait_listening(18601, 20)
        client = Side([*hosts.enter("h2c1"), *words, "h1c1"])
        time.sleep(1)
        result = Perftest(hosts.enter, client="h2c1").run("ib_write_bw", "-n", "1000", "-F")
        assert result.row["BW average[MB/sec]"] > 40, "16 turns in a tenth of a second are 10"
        client.stop()
        server.stop()
    finally:
        hosts.exec("h2", "nft", "delete table inet mute")


FORGE = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.31.0.1", 5791))
for _ in range(50):
    sock.sendto(bytes.fromhex(sys.argv[1]), ("10.31.0.2", 4791))
"""


def test_a_host_s_address_alone_is_no_router_s(hosts):
    """Containers that are masqueraded have it, too, and any user of the host; the router's port they have not."""
    mark = wire.emit({"opcode": wire.OPCODES["MARK"], "psn": 7})
    mark += icrc.Flow(bytes([10, 31, 0, 1]), bytes([10, 31, 0, 2]), 5791).icrc(mark)
    before = nic(hosts, "h2")["counters"]
    assert hosts.exec("h1", "python3", "-c", FORGE, mark.hex()).returncode == 0
    wait_for(lambda: nic(hosts, "h2")["counters"]["strangers"] - before["strangers"] >= 50)
    assert nic(hosts, "h2")["counters"]["bad_icrc"] == before["bad_icrc"]


def test_the_port_reports_what_the_wire_carries(hosts):
    said = hosts.exec("h1c1", "ibv_devinfo").stdout
    assert "active_mtu:\t\t1024 (3)" in said


def test_packets_were_counted_and_none_was_bad(hosts):
    """The last of this file: after all of the above."""
    for host, other in (("h1", "h2"), ("h2", "h1")):
        status = nic(hosts, host)
        assert status["address"] == hosts.plan.find(host).address and status["mtu"] == 1024
        counters = status["counters"]
        assert counters["packets_sent"] > 10_000 and counters["packets_received"] > 10_000, json.dumps(counters)
        assert counters["bad_icrc"] == 0 and counters["refused"] == 0
        assert counters["connected"] == 0, "every QP of programs that have ended is gone"
        assert [p["address"] for p in status["paths"]] == [hosts.plan.find(other).address]
        assert all(p["in_flight"] == 0 for p in status["paths"])
