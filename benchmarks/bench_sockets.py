"""TCP mode on one host, beside the overlay and beside the host's own loopback."""

import json
import os
import re
from pathlib import Path

import pytest

from benchmarks import floors
from benchmarks.compiled import build, run
from benchmarks.report import medians
from freeflow import sockets
from freeflow.pair import run_pair

PROGRAM = Path(__file__).parent / "programs" / "connections.c"
ROUNDS = 3
CALL_ROUNDS = 5  # interleaved: a machine's clock changes by a tenth from one second to the next
PORT = 5300


@pytest.fixture(scope="module")
def places(lab, request):
    """Name -> (server's words, client's words, server's address): TCP mode, the overlay, the host's loopback."""
    address = lab.plan.find("h1c1").address
    made = {name: (lab.words("h1c1", mode=mode), lab.words("h1c2", mode=mode), address)
            for name, mode in (("ours", "tcp"), ("overlay", "plain"))}
    made["loopback"] = (lab.words("h1", mode="plain"), lab.words("h1", mode="plain"), "127.0.0.1")
    return made


@pytest.fixture(scope="module")
def how(places):
    """How TCP was set up: for the basis of each figure."""
    return ", ".join(f"{name}: {sockets.describe(client)}" for name, (_, client, _) in places.items() if name != "ours")


def test_bandwidth(figure, measured, places, how):
    samples = measured(ROUNDS, **{name: lambda there=there: sockets.gbit_per_s(*there)
                                  for name, there in places.items()})
    middle = medians(samples)
    command = "freeflow lab exec h1c1 --tcp -- iperf3 -s   |   freeflow lab exec h1c2 --tcp -- iperf3 -c h1c1"
    figure("TCP mode, one host: iperf3", middle["ours"], "Gb/s", command=command, samples=samples)
    figure("TCP mode, one host: iperf3 / loopback", middle["ours"] / middle["loopback"], "×", 1.15, at_least=True,
           command=command, basis=f"{middle['ours']:.1f} / {middle['loopback']:.1f} Gb/s; {how}")
    figure("TCP mode, one host: iperf3 / overlay", middle["ours"] / middle["overlay"], "×", command=command,
           basis=f"{middle['ours']:.1f} / {middle['overlay']:.1f} Gb/s; {how}")


@pytest.mark.parametrize("apart", [False, True], ids=["one_core", "two_cores"])
def test_ping_pong(figure, measured, places, how, apart):
    """Both sides on one core, or on two: there a message is a wake-up of the other core, which is the machine's, and
    the same whatever carries the message."""
    def one_way(server, client, address):
        first, *others = sorted(os.sched_getaffinity(0))
        second = others[0] if apart and others else first
        return sockets.one_way_us([*server, "taskset", "-c", first], [*client, "taskset", "-c", second], address, seconds=1)

    samples = measured(ROUNDS, **{name: lambda there=there: one_way(*there) for name, there in places.items()},
                       floor=lambda: floors.pingpong_ratio(apart))
    middle = medians(samples)
    command = "freeflow lab exec h1c2 --tcp -- sockperf ping-pong --tcp -i 10.32.1.1 -m 64"
    where = "two cores" if apart else "one core"
    figure(f"TCP mode, one host, {where}: 64 B one way", middle["ours"], "µs", command=command, samples=samples)
    figure(f"TCP mode, one host, {where}: ping-pong / loopback", middle["ours"] / middle["loopback"], "×", 0.8,
           command=command, basis=f"{middle['ours']:.2f} / {middle['loopback']:.2f} µs; of a program without library and "
                                  f"container: {middle['floor']:.2f}; {how}")
    figure(f"TCP mode, one host, {where}: ping-pong / overlay", middle["ours"] / middle["overlay"], "×", command=command,
           basis=f"{middle['ours']:.2f} / {middle['overlay']:.2f} µs; {how}")


def per_second(server, client, address):
    _, ended = run_pair([*server[0], server[1], "serve", PORT], [*client[0], client[1], "connect", address, PORT, 1],
                        PORT, timeout_s=30, server_stays=True)
    return json.loads(ended.stdout)["per_s"]


def test_connections(figure, measured, lab, places):
    program = build(PROGRAM, "-lpthread")
    inside = {place: lab.put(place, program) for place in ("h1c1", "h1c2")}
    rates = {name: lambda there=places[name]: per_second((there[0], inside["h1c1"]), (there[1], inside["h1c2"]), there[2])
             for name in ("ours", "overlay")}
    samples = measured(ROUNDS, **rates)
    middle = medians(samples)
    command = "make bench ARGS='-k test_connections'"
    figure("TCP mode: connections", middle["ours"], "/s", command=command, samples=samples,
           basis="connect, a byte each way, close; one client")
    figure("TCP mode: connections / overlay", middle["ours"] / middle["overlay"], "×", 0.5, at_least=True,
           command=command, basis=f"{middle['ours']:.0f} / {middle['overlay']:.0f} a second")


def test_calls(figure, measured, lab):
    """What the library adds to a call on the data path: the same loop with it and without."""
    inside = lab.put("h1c1", build(PROGRAM, "-lpthread"))
    results = {"with": [], "without": []}
    core = min(os.sched_getaffinity(0))
    measured(CALL_ROUNDS, **{name: lambda name=name, mode=mode:
                             results[name].append(run([*lab.words("h1c1", mode=mode), "taskset", "-c", str(core), inside,
                                                          "calls"]))
                             for name, mode in (("with", "tcp"), ("without", "plain"))})
    least = {(name, key): min(result[key] for result in found) for name, found in results.items() for key in found[0]}
    for key, what in (("send_recv_ns", "send and recv"), ("recvfrom_ns", "send and recvfrom with an address")):
        figure(f"TCP mode: {what}, of libc's", least["with", key] / least["without", key], "×",
               1.02 if key == "send_recv_ns" else None, command="make bench ARGS='-k test_calls'",
               basis=f"{least['with', key]:.0f} / {least['without', key]:.0f} ns, least of {CALL_ROUNDS} × 7")


def test_redis(figure, measured, places):
    def rate(server, client, address):
        _, ended = run_pair([*server, "redis-server", "--port", 6379, "--protected-mode", "no", "--save", ""],
                            [*client, "redis-benchmark", "-h", address, "-t", "get", "-n", 60000, "--csv"], 6379,
                            timeout_s=60, server_stays=True)
        return float(re.search(r'"GET","([0-9.]+)"', ended.stdout)[1])

    samples = measured(ROUNDS, **{name: lambda there=there: rate(*there) for name, there in places.items()})
    middle = medians(samples)
    figure("TCP mode, one host: redis-benchmark GET / loopback", middle["ours"] / middle["loopback"], "×", 1,
           at_least=True, basis=f"{middle['ours']:.0f} / {middle['loopback']:.0f} a second", samples=samples,
           command="freeflow lab exec h1c2 --tcp -- redis-benchmark -h h1c1 -t get")


NGINX = """
daemon off; worker_processes 1; error_log stderr; pid {dir}/nginx.pid;
events {{ worker_connections 1000; }}
http {{
  access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir};
  scgi_temp_path {dir};
  server {{ listen 8000; location / {{ return 200 "{body}"; }} }}
}}
"""


def test_nginx(figure, measured, lab, places, tmp_path):
    (tmp_path / "nginx.conf").write_text(NGINX.format(dir="/tmp", body="x" * 1000))
    inside = lab.put("h1c1", tmp_path / "nginx.conf")

    def rate(name, server, client, address):
        config = inside if name != "loopback" else tmp_path / "nginx.conf"
        _, ended = run_pair([*server, "nginx", "-p", "/tmp", "-c", config],
                            [*client, "wrk", "-d", 2, "-t", 1, "-c", 50, f"http://{address}:8000/"], 8000,
                            timeout_s=60, server_stays=True)
        return float(re.search(r"Requests/sec:\s+([0-9.]+)", ended.stdout)[1])

    samples = measured(ROUNDS, **{name: lambda name=name, there=there: rate(name, *there)
                                  for name, there in places.items()})
    middle = medians(samples)
    figure("TCP mode, one host: nginx under wrk / loopback", middle["ours"] / middle["loopback"], "×", 1,
           at_least=True, basis=f"{middle['ours']:.0f} / {middle['loopback']:.0f} requests a second, 1 KB, 50 connections",
           samples=samples, command="freeflow lab exec h1c2 --tcp -- wrk -c 50 http://h1c1:8000/")
