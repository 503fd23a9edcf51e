"""Two hosts that find each other's containers by etcd: programs between them, an etcd that dies, a container that moves."""

import os
import signal
import subprocess
import time

import pytest

from freeflow.control import Control
from freeflow.lab import state
from freeflow.lab.model import ETCD, ROUTER_NAME
from freeflow.pair import Side
from freeflow.perftest import PORT, Perftest
from places import FREEFLOW, Lab

ENDS_WITHIN_S = 20.0  # perftest's QPs give up after 7 retries of 67 ms, and its own clean-up takes a while


@pytest.fixture
def lab():
    made = Lab("-hosts", host_count=2)
    yield made
    made.down()


def router(lab, host):
    return Control(str(lab.plan.find(host).router_directory), ROUTER_NAME)


def the_map(lab, host):
    with router(lab, host) as control:
        return control.call("status")["map"]


def wait_for(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pair(lab, program, *options, server="h1c1", client="h2c1"):
    return Perftest(lab.enter, server, client, timeout_s=60).run(program, *options, "-F")


def both(lab, program, *options, server="h1c1", client="h2c1", address="h1c1"):
    """Both ends of a perftest that goes on while the test does something: (Side, Side)."""
    words = [program, *options, "-F", "-p", str(PORT)]
    listening = Side([*lab.enter(server), *words])
    listening.wait_listening(PORT, 20)
    return listening, Side([*lab.enter(client), *words, address])


def kill_etcd(lab):
    """By its pid; returns when the routers have noticed."""
    process = state.load(lab.name).processes[ETCD]
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not any(the_map(lab, host)["etcd"]["connected"] for host in ("h1", "h2")))


def start_etcd(lab):
    assert subprocess.run([*FREEFLOW, "lab", "etcd"], env=lab.variables(), timeout=20).returncode == 0
    wait_for(lambda: all(the_map(lab, host)["etcd"]["connected"] for host in ("h1", "h2")))


def test_etcd_may_die_under_running_programs_and_come_back(lab):
    for program in ("ib_send_lat", "ib_write_bw", "ib_read_bw", "ib_atomic_bw"):
        assert pair(lab, program, "-n", "1000").row["#iterations"] >= 1000
    running = both(lab, "ib_write_bw", "-D", "4")
    time.sleep(1)
    kill_etcd(lab)
    assert pair(lab, "ib_send_lat", "-n", "500", server="h1c2", client="h2c2").row["#iterations"] == 500, "a new connection"
    assert [side.wait(30).status for side in running] == [0, 0]

    with router(lab, "h1") as control:
        pid = state.load(lab.name).processes["h1c2"].pid
        control.call("container.remove", name="h1c2")
        control.call("container.add", name="h1c2", netns=f"/proc/{pid}/ns/net", addresses=["10.32.1.2", "10.32.1.22"])
    start_etcd(lab)
    wait_for(lambda: the_map(lab, "h2")["hosts"] == {"10.31.0.1": 4})
    assert pair(lab, "ib_read_bw", "-n", "500", server="h1c2", client="h2c2").row["#iterations"] == 500


def test_a_container_that_moves_to_another_host_keeps_its_address(lab):
    """10.32.1.2 leaves host 1 in the middle of things and comes up on host 2. Its network is moved by the test; in life
    that is the overlay's business, as the rest is that of who starts containers."""
    record = state.load(lab.name)
    old, new = (f"/proc/{record.processes[name].pid}/ns/net" for name in ("h1c2", "h2c2"))
    assert pair(lab, "ib_send_lat", "-n", "200", server="h1c2", client="h2c1").row["#iterations"] == 200
    server, client = both(lab, "ib_write_bw", "-D", "60", server="h1c2", client="h2c1", address="h1c2")
    time.sleep(1)
    with router(lab, "h1") as control:
        control.call("container.remove", name="h1c2")
    began = time.monotonic()
    ended = client.wait(ENDS_WITHIN_S)
    assert ended.status != 0 and time.monotonic() - began < ENDS_WITHIN_S, f"{ended}"
    server.stop()

    with router(lab, "h2") as control:
        control.call("container.remove", name="h2c2")
        control.call("container.add", name="h1c2", netns=new, addresses=["10.32.1.2"])
    address(old, "del", "10.32.1.2/16")
    address(new, "add", "10.32.1.2/16")
    for container in ("h1c1", "h2c1"):
        neighbours = f"/proc/{record.processes[container].pid}/ns/net"
        subprocess.run(["nsenter", f"--net={neighbours}", "ip", "neigh", "flush", "all"], check=True)
    wait_for(lambda: the_map(lab, "h1")["hosts"] == {"10.31.0.2": 3})
    for peer in ("h1c1", "h2c1"):  # from the host that it left, and from the one where it is
        listening, client = both(lab, "ib_send_lat", "-n", "200", server="h2c2", client=peer, address="10.32.1.2")
        ends = client.wait(30), listening.wait(30)
        assert [end.status for end in ends] == [0, 0], f"{ends[0]}\n{ends[1]}"


def test_three_hosts_over_a_tunnelled_overlay():
    lab = Lab("-three", host_count=3, container_count=1, overlay="vxlan")
    try:
        for server, client in (("h1c1", "h3c1"), ("h2c1", "h1c1"), ("h3c1", "h2c1")):
            assert pair(lab, "ib_send_lat", "-n", "200", server=server, client=client).row["#iterations"] == 200
    finally:
        lab.down()


def address(namespace, verb, text):
    subprocess.run(["nsenter", f"--net={namespace}", "ip", "addr", verb, text, "dev", "eth0"], check=True)
