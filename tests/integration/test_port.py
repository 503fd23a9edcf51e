"""What becomes of a container's addresses and link, as its programs and its files tell it."""

import os
import re
import select
import subprocess
import time

import pytest

from freeflow.errors import FreeFlowError
from freeflow.lab import state
from lab_checks import said, wait_for
from places import Lab
from programs import program

WAIT_S = 10
PORT = "/sys/class/infiniband/ff0/ports/1"
MINE = "::ffff:10.32.1.1"


@pytest.fixture(scope="module")
def lab():
    """One whose containers may change their addresses: anything of 10.32.1.0/24 that is free."""
    made = Lab("-port", host_count=1, container_count=2)
    yield made
    made.down()


class Container:
    """h1c1, with a program in it that watches two contexts (tests/programs/port_watch.c)."""

    def __init__(self, lab):
        self.lab = lab
        self.process = lab.popen("h1c1", lab.put("h1c1", program("port_watch")), stdin=subprocess.PIPE, bufsize=0)
        self.told("begins", [f"0={MINE}%eth0"])

    def ip(self, *words):
        """As whoever may in its network namespace."""
        pid = state.load(self.lab.name).processes["h1c1"].pid
        subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *words], check=True)

    def line(self, wait_s=WAIT_S):
        """The next line, or "" when none comes."""
        text, end = b"", time.monotonic() + wait_s
        while not text.endswith(b"\n") and select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, self.process.stderr.read()
            text += byte
        return text.decode().strip()

    def told(self, event, table, port="active"):
        """Each context hears this next, and finds that table then."""
        heard = [self.line() for _ in range(2)]
        wanted = " ".join([port, *table])
        assert sorted(heard) == [f"{context} {event} {wanted}" for context in (0, 1)]

    def silent(self):
        assert self.line(wait_s=0.4) == ""

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(WAIT_S) == 0, self.process.stderr.read()


@pytest.fixture
def container(lab):
    watched = Container(lab)
    yield watched
    watched.end()


def files(lab):
    """The interface of each GID that its files tell, and the port's state; None while they are being written, for an entry that is in
    use has a type and an interface."""
    listed = said(lab.exec("h1c1", "grep", "-r", "", f"{PORT}/gids", f"{PORT}/gid_attrs", f"{PORT}/state"))
    found = dict(line.removeprefix(f"{PORT}/").split(":", 1) for line in listed.splitlines())
    used = [n for n in range(16) if re.search("[1-9a-f]", found[f"gids/{n}"])]
    told = {what: {name.rpartition("/")[2] for name in found if f"/{what}/" in name} for what in ("types", "ndevs")}
    if any(entries != set(map(str, used)) for entries in told.values()):
        return None
    return {n: found[f"gid_attrs/ndevs/{n}"] for n in used}, found["state"]


def state_of(lab):
    return said(lab.exec("h1c1", "cat", f"{PORT}/state")).strip()


GID_CHANGE, PORT_ERR, PORT_ACTIVE = "GID table change", "port error", "port active"


def test_addresses_come_and_go(lab, container):
    container.ip("addr", "add", "10.32.1.77/24", "dev", "eth0")
    container.told(GID_CHANGE, [f"0={MINE}%eth0", "1=::ffff:10.32.1.77%eth0"])
    container.ip("addr", "del", "10.32.1.1/16", "dev", "eth0")
    container.told(GID_CHANGE, ["1=::ffff:10.32.1.77%eth0"])  # which keeps its place
    container.ip("addr", "add", "10.32.1.1/16", "dev", "eth0")
    container.told(GID_CHANGE, [f"0={MINE}%eth0", "1=::ffff:10.32.1.77%eth0"])
    wait_for(lambda: files(lab) == ({0: "eth0", 1: "eth0"}, "4: ACTIVE"))
    container.ip("addr", "del", "10.32.1.77/24", "dev", "eth0")
    container.told(GID_CHANGE, [f"0={MINE}%eth0"])
    wait_for(lambda: files(lab) == ({0: "eth0"}, "4: ACTIVE"))


def test_anothers_address_is_nobody_s_but_its_owner_s(lab, container):
    """10.32.1.2 is h1c2's, whether h1c2 has it at the moment or not; 10.31.0.1 is the host's, 10.33 nobody's to take."""
    stolen = ["10.32.1.2/16", "10.31.0.1/24", "10.33.0.7/16", "::ffff:10.32.1.2/128"]
    try:
        for address in stolen:
            container.ip("addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        container.silent()
        listed = lab.control("h1")
        with listed as router:
            told = {c["name"]: c for c in router.call("container.list")["containers"]}
        assert told["h1c1"]["addresses"] == ["10.32.1.1"]
        assert told["h1c1"]["ignored"] == ["10.31.0.1", "10.32.1.2", "10.33.0.7"]
        assert "::ffff:10.32.1.2" in said(lab.exec("h1c2", "ibv_devinfo", "-v"))
    finally:
        for address in stolen:
            container.ip("addr", "del", address, "dev", "eth0")
    container.silent()


def test_an_address_that_becomes_free_is_taken_and_a_grant_takes_it_back(lab, container):
    with lab.control("h1") as router:
        router.call("container.addresses", name="h1c2", addresses=["10.32.1.2", "10.32.1.50"])
        container.ip("addr", "add", "10.32.1.50/16", "dev", "eth0")
        container.silent()
        router.call("container.addresses", name="h1c2", addresses=["10.32.1.2"])
        container.told(GID_CHANGE, [f"0={MINE}%eth0", "1=::ffff:10.32.1.50%eth0"])
        router.call("container.addresses", name="h1c2", addresses=["10.32.1.2", "10.32.1.50"])
        container.told(GID_CHANGE, [f"0={MINE}%eth0"])
        router.call("container.addresses", name="h1c2", addresses=["10.32.1.2"])
        container.told(GID_CHANGE, [f"0={MINE}%eth0", "1=::ffff:10.32.1.50%eth0"])
    container.ip("addr", "del", "10.32.1.50/16", "dev", "eth0")
    container.told(GID_CHANGE, [f"0={MINE}%eth0"])


def test_a_grant_on_another_host_goes_before():
    made = Lab("-hosts", host_count=2, container_count=1)
    mine, taken = f"0={MINE}%eth0", "1=::ffff:10.32.1.77%eth0"
    try:
        container = Container(made)
        container.ip("addr", "add", "10.32.1.77/16", "dev", "eth0")
        container.told(GID_CHANGE, [mine, taken])
        with made.control("h2") as router:
            wait_for(lambda: router.call("status")["map"]["hosts"] == {"10.31.0.1": 3})
            router.call("container.addresses", name="h2c1", addresses=["10.32.2.1", "10.32.1.77"])
            container.told(GID_CHANGE, [mine])
            router.call("container.addresses", name="h2c1", addresses=["10.32.2.1"])
            container.told(GID_CHANGE, [mine, taken])
        container.end()
    finally:
        made.down()


def test_the_port_follows_the_link(lab, container):
    container.ip("link", "set", "eth0", "down")
    container.told(PORT_ERR, [f"0={MINE}%eth0"], "down")
    wait_for(lambda: state_of(lab) == "1: DOWN")
    assert "DOWN" in said(lab.exec("h1c1", "ibv_devinfo", "-v"))  # of one that is opened now, too
    container.ip("link", "set", "eth0", "up")
    container.told(PORT_ACTIVE, [f"0={MINE}%eth0"])
    wait_for(lambda: state_of(lab) == "4: ACTIVE")
    container.silent()


def test_a_carrier_that_is_lost_is_a_link_that_is_down(lab, container):
    subprocess.run(["ip", "-n", lab.plan.find("h1").netns, "link", "set", "c1", "down"], check=True)
    container.told(PORT_ERR, [f"0={MINE}%eth0"], "down")
    subprocess.run(["ip", "-n", lab.plan.find("h1").netns, "link", "set", "c1", "up"], check=True)
    container.told(PORT_ACTIVE, [f"0={MINE}%eth0"])


def test_a_container_that_changes_all_the_time_is_looked_at_now_and_then(lab, container):
    """Its programs hear of ten changes a second at most, and the router answers others meanwhile."""
    batch = "".join(f"addr {verb} 10.32.1.88/16 dev eth0\n" for _ in range(5000) for verb in ("add", "del"))
    batch += "addr add 10.32.1.99/16 dev eth0\n"
    pid = state.load(lab.name).processes["h1c1"].pid
    began = time.monotonic()
    with lab.control("h1") as router, \
            subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], stdin=subprocess.PIPE,
                             text=True) as flood:
        flood.stdin.write(batch)
        flood.stdin.close()
        slowest_s = 0
        while flood.poll() is None:
            asked = time.monotonic()
            router.call("status")
            slowest_s = max(slowest_s, time.monotonic() - asked)
        assert flood.returncode == 0
    took_s = time.monotonic() - began
    assert slowest_s < 1, slowest_s
    heard, last = 0, ""
    while line := container.line(wait_s=1):
        heard, last = heard + 1, line
    assert last.endswith(f"0={MINE}%eth0 1=::ffff:10.32.1.99%eth0"), last
    assert heard <= 2 * (10 * took_s + 3), (heard, took_s)
    container.ip("addr", "del", "10.32.1.99/16", "dev", "eth0")
    container.told(GID_CHANGE, [f"0={MINE}%eth0"])


def test_the_registration_may_change(lab, container):
    with lab.control("h1") as router:
        router.call("container.addresses", name="h1c1", addresses=["10.32.1.1", "fd00::11", "10.32.1.77"])
        container.told(GID_CHANGE, [f"0={MINE}%eth0", "1=fd00::11%", "2=::ffff:10.32.1.77%"])
        router.call("container.addresses", name="h1c1", addresses=["10.32.1.1", "fd00::11", "10.32.1.77"])
        container.silent()
        router.call("container.addresses", name="h1c1", addresses=["10.32.1.1"])
        container.told(GID_CHANGE, [f"0={MINE}%eth0"])
        with pytest.raises(FreeFlowError, match="taken, by 'h1c2'"):
            router.call("container.addresses", name="h1c1", addresses=["10.32.1.2"])
        with pytest.raises(FreeFlowError, match="no container"):
            router.call("container.addresses", name="nobody", addresses=["10.32.1.2"])
