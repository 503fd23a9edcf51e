"""Tenants and rules of reach: who is kept from whom, in every way of connecting, on one host and between two; and rules that
change under connections."""

import re
import subprocess
import time

import pytest
from api_programs import install_script
from places import Lab
from policies import counted, put
from programs import SOURCES
from router_process import eventually

from freeflow.pair import Side, run_pair

WAIT_S = 30
DENIED = re.compile("no rule of reach lets this container talk to ")
NOTHING, BLUE_TO_GREEN = "", '[[reach.allow]]\nname = "forth"\nfrom = "blue"\nto = "green"\none_way = true\n'
BOTH = '[[reach.allow]]\nname = "both"\nfrom = "blue"\nto = "green"\n'
ONLY_TENANTS = "[reach]\nallow = []\n"
NEAR, FAR = ("h1c1", "h1c2"), ("h1c1", "h2c2")  # blue and green
SAME_NEAR, SAME_FAR = ("h1c1", "h1c3"), ("h1c1", "h2c1")  # blue and blue
PERFTEST = ["ib_send_bw", "ib_write_bw -c UC", "ib_write_bw -c XRC", "ib_send_lat -c UD", "ib_read_bw", "ib_atomic_bw"]


class Tenants:
    """A lab of two hosts with a blue, a green and a blue container each, whose policy file is this one's to write."""

    def __init__(self, path):
        self.path = path
        path.write_text(NOTHING)
        self.lab = Lab("-reach", host_count=2, container_count=3, tenants=("blue", "green", "blue"), policy=str(path))

    def use(self, text):
        """Until both routers have it."""
        put(self.path, text)
        wanted = re.findall('name = "(.*)"', text)
        assert eventually(lambda: all(self.in_force(host, wanted) for host in ("h1", "h2")), WAIT_S)

    def in_force(self, host, wanted):
        with self.lab.control(host) as control:
            said = control.call("policy.show", container=f"{host}c1")
        assert said["error"] is None
        default = any("default" in rule for rule in said["reach"])
        return [re.search(r"\((.*)\)", rule)[1] for rule in said["reach"] if "(" in rule] == wanted and (
            default == ("[reach" not in self.path.read_text()))

    def log(self, host):
        return (self.lab.plan.find(host).directory / "router.log").read_text()

    def perftest(self, words, server, client, port=18515):
        words = f"{words} -n 200 -p {port}".split()
        return run_pair(self.lab.words(server, *words), self.lab.words(client, *words, self.lab.plan.find(server).address), port,
                        env=self.lab.variables())

    def rping(self, server, client):
        """The client's end."""
        below = Side(self.lab.words(server, "rping", "-s", "-P"), self.lab.variables())
        address = self.lab.plan.find(server).address
        try:
            def tried():
                self.last = self.lab.exec(client, "rping", "-c", "-a", address, "-C", "3", check=False)
                return not re.search("error 8|UNREACHABLE", self.last.stdout + self.last.stderr)  # nobody listens there yet
            assert eventually(tried, WAIT_S)
            return self.last
        finally:
            below.stop()


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    made = Tenants(tmp_path_factory.mktemp("policy") / "policy.toml")
    yield made
    made.lab.down()


@pytest.fixture
def apart(tenants):
    tenants.use(NOTHING)
    return tenants


@pytest.mark.parametrize("words", PERFTEST)
@pytest.mark.parametrize("where", [NEAR, FAR], ids=["one_host", "two_hosts"])
def test_another_tenant_is_not_reached(apart, words, where):
    for server, client in (where, where[::-1]):
        below, above = apart.perftest(words, server, client)
        assert above.status != 0 and DENIED.search(above.stderr) and DENIED.search(below.stderr), f"{below}\n{above}"
        assert apart.lab.plan.find(server).address in above.stderr


@pytest.mark.parametrize("where", [SAME_NEAR, SAME_FAR], ids=["one_host", "two_hosts"])
def test_the_own_tenant_is_reached(apart, where):
    below, above = apart.perftest("ib_send_bw", *where)
    assert (below.status, above.status) == (0, 0), f"{below}\n{above}"


@pytest.mark.parametrize("where", [NEAR, FAR], ids=["one_host", "two_hosts"])
def test_rdma_cm_is_rejected(apart, where):
    ended = apart.rping(*where)
    assert ended.returncode and "RDMA_CM_EVENT_REJECTED" in ended.stdout + ended.stderr, ended


def test_a_group_of_both_brings_nothing_across(apart):
    """The one of its own tenant hears the sender; the others do not."""
    words = "mckey -m 239.7.7.7 -C 5".split()
    receivers = [Side(apart.lab.words(place, *words), apart.lab.variables()) for place in ("h1c2", "h1c3", "h2c2", "h2c1")]
    try:
        assert eventually(lambda: [apart.lab.exec("h1c1", *words, "-s", check=False),
                                   receivers[1].process.poll() is not None and receivers[3].process.poll() is not None][-1], WAIT_S)
        time.sleep(0.5)
        assert [one.process.poll() for one in receivers] == [None, 0, None, 0]
    finally:
        for one in receivers:
            one.stop()


def test_it_is_counted_and_told(apart):
    before = denied(apart, "h2", "h2c3")
    apart.perftest("ib_send_bw", "h1c2", "h2c3")
    assert eventually(lambda: denied(apart, "h2", "h2c3") == before + 1, WAIT_S)
    line = "denied: container h2c3 asked for 10.32.1.2 (tenant green), and no rule of reach allows it"
    assert eventually(lambda: line in apart.log("h2"), WAIT_S)


def denied(tenants, host, container):
    """By the port's counters, as its programs see them."""
    with tenants.lab.control(host) as control:
        inode = next(one["netns_inode"] for one in control.call("container.list")["containers"] if one["name"] == container)
        return int((control.paths.port_counters / str(inode) / "counters/port_xmit_constraint_errors").read_text())


@pytest.mark.parametrize("where", [NEAR, FAR], ids=["one_host", "two_hosts"])
def test_a_rule_lets_them_and_its_end_ends_what_it_let(tenants, where):
    tenants.use(BOTH)
    server, client = where
    words = ["ib_send_bw", "-D", "60", "-p", "18600"]
    below = Side(tenants.lab.words(server, *words), tenants.lab.variables())
    try:
        below.wait_listening(18600, WAIT_S)
        above = Side(tenants.lab.words(client, *words, tenants.lab.plan.find(server).address), tenants.lab.variables())
        try:
            assert eventually(lambda: counted(tenants.lab, client, "tx_messages") > 1000, WAIT_S)
            tenants.use(NOTHING)
            ended = above.wait(WAIT_S)
        finally:
            above.stop()
        assert ended.status != 0, ended
    finally:
        below.stop()


def test_a_conversation_of_rdma_cm_ends_with_its_rule(tenants):
    """Both sides hear RDMA_CM_EVENT_DISCONNECTED."""
    tenants.use(BOTH)
    server = Side(tenants.lab.words("h1c1", "rping", "-s", "-v"), tenants.lab.variables())
    address = tenants.lab.plan.find("h1c1").address
    try:
        client = None
        def begun():
            nonlocal client
            if client is None or client.process.poll() is not None:  # nobody listened there yet
                client = Side(tenants.lab.words("h2c2", "rping", "-c", "-a", address), tenants.lab.variables())
            return counted(tenants.lab, "h2c2", "tx_messages") > 100
        assert eventually(begun, WAIT_S)
        tenants.use(NOTHING)
        ends = [client.wait(WAIT_S), server.wait(WAIT_S)]
        assert all("disconnected" in (one.stdout + one.stderr).lower() or "DISCONNECT" in one.stderr for one in ends), ends
    finally:
        server.stop()
        client.stop()


@pytest.mark.parametrize("where", [NEAR, FAR], ids=["one_host", "two_hosts"])
def test_one_way(tenants, where):
    """Who may begin, begins; what it has begun goes both ways."""
    tenants.use(BLUE_TO_GREEN)
    blue, green = where
    begun = tenants.rping(server=green, client=blue)
    assert begun.returncode == 0, begun
    refused = tenants.rping(server=blue, client=green)
    assert refused.returncode and "RDMA_CM_EVENT_REJECTED" in refused.stdout + refused.stderr, refused
    below, above = tenants.perftest("ib_write_bw", blue, green)  # by hand: who has begun, no QP tells
    assert (below.status, above.status) == (0, 0), f"{below}\n{above}"
    below, above = tenants.perftest("ib_send_lat -c UD", green, blue)
    assert not DENIED.search(above.stderr) and DENIED.search(below.stderr), f"{below}\n{above}"


def test_the_host_s_own_programs_need_a_rule_where_there_are_rules(tenants):
    tenants.use(NOTHING)
    reached = tenants.rping(server="h1c1", client="h1")
    assert reached.returncode == 0, reached
    tenants.use(ONLY_TENANTS)
    refused = tenants.rping(server="h1c1", client="h1")
    assert refused.returncode and "RDMA_CM_EVENT_REJECTED" in refused.stdout + refused.stderr, refused


def test_a_forged_peer_is_not_heard(apart):
    """From the true sender's host, where all containers' packets come from one address."""
    def start(place, *words):
        return apart.lab.popen(place, *install_script(apart.lab, place, SOURCES / "forged_peer.py")[len(apart.lab.enter(place)):], *words,
                               stdin=subprocess.PIPE)
    receiver = start("h2c2", "receiver")
    running = [receiver]
    try:
        assert receiver.stdout.readline() == "up\n"
        running.append(sender := start("h1c2", "sender", apart.lab.plan.find("h2c2").address))
        assert sender.stdout.readline() == "connected\n", sender.communicate()
        qpn, psn = receiver.stdout.readline().split()
        running.append(thief := start("h1c1", "thief", qpn, psn, apart.lab.plan.find("h2c1").address))
        said, complaints = thief.communicate(timeout=WAIT_S)
        assert said == "sent True\n", complaints
        sender.communicate("go\n", timeout=WAIT_S)
        said, complaints = receiver.communicate(timeout=WAIT_S)
        assert (said, receiver.returncode, sender.returncode) == ("right\n", 0, 0), complaints
    finally:
        for one in running:
            one.kill()
            one.communicate()


def test_two_that_agree_do_not_meet(apart):
    """Each is connected to a container of its own tenant, as rules have it, but by the other's QPN."""
    def start(place, *words):
        return apart.lab.popen(place, *install_script(apart.lab, place, SOURCES / "forged_peer.py")[len(apart.lab.enter(place)):], *words,
                               stdin=subprocess.PIPE)
    blue = start("h1c1", "accomplice", "reader", "-", apart.lab.plan.find("h2c1").address)
    green = start("h2c2", "accomplice", "read", "-", apart.lab.plan.find("h1c2").address)
    try:
        numbers = [one.stdout.readline().strip() for one in (blue, green)]
        for one, number in ((green, numbers[0]), (blue, numbers[1])):
            one.stdin.write(f"{number}\n")
            one.stdin.flush()
            assert one.stdout.readline() == "connected\n", one.communicate()
        assert green.communicate(timeout=WAIT_S)[0] == "arrived 0\n"
    finally:
        for one in (blue, green):
            one.kill()
            one.communicate()


def test_tcp_mode_keeps_tenants_apart_and_joins_them_by_a_rule(tenants):
    def accelerated(before=0):
        server = Side(tenants.lab.words("h1c2", "python3", "-c", SERVER, mode="tcp"), tenants.lab.variables())
        try:
            server.wait_listening(7000, WAIT_S)
            done = tenants.lab.exec("h1c1", "python3", "-c", CLIENT, tenants.lab.plan.find("h1c2").address, mode="tcp")
            assert done.stdout == "hello\n", done
        finally:
            server.stop()
        with tenants.lab.control("h1") as control:
            return control.call("status")["tcp"]["accelerated"]
    tenants.use(NOTHING)
    count = accelerated()
    assert accelerated() == count
    tenants.use(BOTH)
    assert accelerated() == count + 1


SERVER = """
import socket
with socket.create_server(("", 7000), reuse_port=True) as listening:
    while True:
        with listening.accept()[0] as one:
            one.sendall(one.recv(100))
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000)) as one:
    one.sendall(b"hello")
    print(one.recv(100).decode())
"""
