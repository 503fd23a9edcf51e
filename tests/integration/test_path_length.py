"""What paths between two hosts carry: asked by probes, and what becomes of packets where those do not come through."""

import shlex
import subprocess
import time

import pytest

from freeflow.perftest import Perftest
from lab_checks import wait_for
from places import FREEFLOW, Lab
from programs import SOURCES

AGAIN_S = 10  # roce/probe.pyx: a path that is known, or long silent, is asked so seldom
DROP = "add table inet path; add chain inet path in {{ type filter hook input priority 0; }};" \
       "add rule inet path in udp dport 4791 {} drop"
LONG = DROP.format("udp length > 1208")  # its header included
PROBED = DROP.format("@th,64,8 0xe3")


def behind(*rules, variables=()):
    """A router whose host has these rules of nft before it knows of others."""
    rules = "; ".join(f"nft {shlex.quote(rule)}" for rule in rules)
    return ["env", *variables, "sh", "-c", f'{rules or ":"}; exec {shlex.join(FREEFLOW)} router "$@"', "sh"]


def carries(lab):
    """What each host's router says of its path to the other."""
    said = []
    for host in lab.plan.hosts:
        with lab.control(host.name) as router:
            said += [path["carries"] for path in router.call("status")["roce"]["paths"]]
    return said


def run(lab, program, *options, client="h2c1"):
    server = "h1c1" if client == "h2c1" else "h2c1"
    enter = lambda place: ["env", f"FREEFLOW_LAB={lab.name}", *lab.words(place)]
    return Perftest(enter, server, client, timeout_s=40).run(program, "-s", "65536", "-n", "500", "-F", *options).row


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_a_path_carries_what_its_link_does(mtu):
    lab = Lab("-path", host_count=2, container_count=1, wire_mtu=mtu)
    try:
        wait_for(lambda: carries(lab) == [mtu - 28, mtu - 28])
    finally:
        lab.down()


@pytest.fixture
def narrow(tmp_path):
    """Two hosts that drop long datagrams. Their kernels do not cut up large sends: to the rule those would be long ones."""
    built = tmp_path / "no_segments.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", built, SOURCES / "no_segments.c"], check=True)
    made = Lab("-narrow", host_count=2, container_count=1, router_command=behind(LONG, variables=[f"LD_PRELOAD={built}"]))
    yield made
    made.down()


def test_behind_a_firewall_that_drops_long_ones_packets_are_the_standard_s(narrow):
    wait_for(lambda: carries(narrow) == [0, 0])
    for program in ("ib_send_bw", "ib_write_bw", "ib_read_bw"):
        assert run(narrow, program)["#iterations"] >= 500
    assert carries(narrow) == [0, 0]
    for host in ("h1", "h2"):
        assert narrow.exec(host, "nft", "delete table inet path").returncode == 0
    wait_for(lambda: carries(narrow) == [1472, 1472], AGAIN_S + 5)
    assert run(narrow, "ib_send_bw")["#iterations"] >= 500


@pytest.mark.parametrize("client", ["h1c1", "h2c1"])
@pytest.mark.parametrize("program", ["ib_read_bw", "ib_write_bw"])
def test_one_side_may_know_what_the_path_carries_before_the_other_does(one_sided, program, client):
    """A READ asks for packets as long as the other router's probe was; that one need not know yet that it came."""
    assert run(one_sided, program, client=client)["#iterations"] >= 500


def test_routers_whose_answers_are_lost_do_not_ask_without_end():
    """Each hears the other's probes, and takes it for one that has just come."""
    lab = Lab("-mute", host_count=2, container_count=1, router_command=behind(PROBED))
    try:
        wait_for(lambda: carries(lab) == [0, 0])
        time.sleep(2)
        for host in lab.plan.hosts:
            with lab.control(host.name) as router:
                assert router.call("status")["roce"]["counters"]["packets_sent"] < 200, "ten a second, and ten answers"
    finally:
        lab.down()


@pytest.fixture(scope="module")
def one_sided():
    """h2 hears no answer to its probes."""
    made = Lab("-sided", host_count=2, container_count=1, router_command=behind(PROBED))
    wait_for(lambda: made.exec("h1", "nft", "delete table inet path").returncode == 0)
    wait_for(lambda: carries(made) == [1472, 0], AGAIN_S + 5)
    yield made
    made.down()
