"""freeflow lab up --nic: what containers are reached by."""

import subprocess

import pytest

from freeflow.pair import PairError
from freeflow.perftest import Perftest
from lab_checks import said
from places import FREEFLOW, Lab

PROGRAMS = [("ib_send_bw", "-c", "RC"), ("ib_write_bw", "-c", "RC"), ("ib_read_lat", "-c", "RC"), ("ib_atomic_bw", "-c", "RC"),
            ("ib_send_lat", "-c", "UC"), ("ib_write_lat", "-c", "UC"), ("ib_send_lat", "-c", "UD"), ("ib_send_bw", "-c", "XRC"),
            ("ib_send_lat", "-c", "UD", "-g")]


def iterations(lab, server, client, *words):
    return Perftest(lab.enter, server, client, timeout_s=30).run(*words, "-n", "300", "-F").row["#iterations"]


def nic_of(lab, host="h1"):
    with lab.control(host) as router:
        return router.call("status")["roce"]


@pytest.fixture(scope="module")
def packets():
    made = Lab("-packets", host_count=1, container_count=2, nic="roce")
    yield made
    made.down()


@pytest.mark.parametrize("words", PROGRAMS, ids=" ".join)
def test_roce_sends_packets_within_a_host(packets, words):
    before = nic_of(packets)["counters"]
    assert iterations(packets, "h1c1", "h1c2", *words) >= 300
    after = nic_of(packets)["counters"]
    assert after["packets_sent"] - before["packets_sent"] >= 300
    assert after["strangers"] == before["strangers"] and after["bad_icrc"] == before["bad_icrc"]


def test_doctor_says_so(packets):
    told = said(subprocess.run([*packets.words("h1", *FREEFLOW, "doctor", "--dir", packets.plan.find("h1").router_directory)],
                               capture_output=True, text=True, env=packets.variables()))
    assert "(--nic roce)" in told


def test_roce_needs_to_know_which_host_it_is(tmp_path):
    done = subprocess.run([*FREEFLOW, "router", "--dir", str(tmp_path), "--nic", "roce"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "--etcd or --hosts" in done.stderr


def test_local_reaches_no_other_host():
    lab = Lab("-alone", host_count=2, container_count=2, nic="local")
    try:
        assert iterations(lab, "h1c1", "h1c2", "ib_send_lat") == 300
        with pytest.raises(PairError):
            iterations(lab, "h1c1", "h2c1", "ib_send_lat")
        assert nic_of(lab)["counters"]["packets_sent"] == 0
    finally:
        lab.down()
