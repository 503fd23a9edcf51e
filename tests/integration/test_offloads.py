"""A kernel that cannot cut up large sends: the router finds out, goes on packet by packet, and `freeflow doctor` says so."""

import subprocess

import pytest

from freeflow.lab.model import ROUTER_NAME
from freeflow.perftest import Perftest
from places import FREEFLOW, Lab
from programs import SOURCES


@pytest.fixture
def hosts(tmp_path):
    built = tmp_path / "no_segments.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", built, SOURCES / "no_segments.c"],
                   check=True)
    made = Lab("-plain", host_count=2, container_count=1, router_command=["env", f"LD_PRELOAD={built}", *FREEFLOW, "router"])
    yield made
    made.down()


def roce(lab, host):
    with lab.control(host) as router:
        return router.call("status")["roce"]


def doctor(lab, host):
    directory = lab.plan.find(host).router_directory
    return lab.exec(host, "env", f"FREEFLOW_DIR={directory}", f"FFR_NAME={ROUTER_NAME}", *FREEFLOW, "doctor").stdout


def test_packet_by_packet(hosts):
    pair = Perftest(lambda place: ["env", f"FREEFLOW_LAB={hosts.name}", *hosts.words(place)], client="h2c1")
    assert roce(hosts, "h2")["gso"], "nothing was tried yet"
    for program in ("ib_write_bw", "ib_send_bw", "ib_read_bw", "ib_atomic_bw"):
        assert pair.run(program, "-n", 200).row["#iterations"] >= 200
    said = roce(hosts, "h2")
    counters = said["counters"]
    assert not said["gso"] and counters["datagrams_sent"] == counters["packets_sent"] - counters["refused"]
    assert 0 < counters["refused"] <= 16 * 64, "what was under way when it was found out"
    assert "one by one (GSO)" in doctor(hosts, "h2")
