"""A router whose etcd is not there when it starts: it says so, serves its own containers, and catches up."""

import os
import subprocess

import pytest

from freeflow.lab import etcd
from freeflow.lab.model import ETCD_PORT
from freeflow.perftest import Perftest
from lab_checks import said, wait_for
from places import FREEFLOW, Lab

URL = f"http://10.31.0.1:{ETCD_PORT}"


@pytest.fixture
def lab():
    made = Lab("-late", router_command=[*FREEFLOW, "router", "--etcd", URL], host_count=1, container_count=2)
    yield made
    made.down()


@pytest.fixture
def start_etcd(lab):
    """A function that starts it on the lab's host."""
    started, host = [], lab.plan.find("h1")

    def start():
        started.append(etcd.start(lab.plan.directory / "late-etcd", lab.plan.directory / "late-etcd.log", host.address,
                                  host.netns_path))

    yield start
    for process in started:
        process.kill()
        process.wait()


def on_host(lab, *command):
    return subprocess.run(["nsenter", f"--net={lab.plan.find('h1').netns_path}", *command], capture_output=True, text=True,
                          timeout=30, env=os.environ | {"ETCDCTL_API": "3"})


def bandwidth(lab):
    words = Perftest(lambda container: ["env", f"FREEFLOW_LAB={lab.name}", *lab.words(container)], "h1c1", "h1c2", timeout_s=60)
    return words.run("ib_send_bw", "-n", "1000", "-F").row["#iterations"]


def doctor(lab):
    told = on_host(lab, *FREEFLOW, "doctor", "--dir", str(lab.plan.find("h1").router_directory))
    return " ".join(told.stdout.split())


def test_local_containers_work_and_the_router_catches_up(lab, start_etcd):
    log = lab.plan.find("h1").directory / "router.log"
    wait_for(lambda: "no etcd" in log.read_text())
    complaint = next(line for line in log.read_text().splitlines() if "no etcd" in line)
    assert "10.31.0.1:2379" in complaint and "WARNING" in complaint
    assert bandwidth(lab) == 1000
    assert "start etcd, or mend the way to" in doctor(lab) and "no etcd" in doctor(lab)
    assert log.read_text().count("no etcd") == 1, "once a minute is enough"

    start_etcd()
    with lab.control("h1") as router:
        wait_for(lambda: router.call("status")["map"]["etcd"]["connected"], timeout_s=20)
    keys = said(on_host(lab, "etcdctl", f"--endpoints={URL}", "get", "/freeflow", "--prefix", "--keys-only")).split()
    assert sorted(keys) == ["/freeflow/containers/10.31.0.1/10.32.1.1", "/freeflow/containers/10.31.0.1/10.32.1.2",
                            "/freeflow/hosts/10.31.0.1"]
    assert "etcd answers" in log.read_text() and "from etcd" in doctor(lab)
    assert bandwidth(lab) == 1000
