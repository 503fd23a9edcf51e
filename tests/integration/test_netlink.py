"""NETLINK_RDMA, which only a kernel with RDMA has: iproute2's rdma, unmodified, and who asks in other ways."""

import json

from lab_checks import said


def rdma(lab, *words, place="h1c1"):
    return json.loads(said(lab.exec(place, "rdma", "-j", *words)))


def test_link(lab):
    link, = rdma(lab, "link", "show")
    assert (link["ifname"], link["port"], link["state"], link["physical_state"], link["netdev"]) == (
        "ff0", 1, "ACTIVE", "LINK_UP", "eth0")
    assert rdma(lab, "link", "show", "ff0/1") == [link]


def test_dev(lab):
    device, = rdma(lab, "dev")
    assert (device["ifname"], device["node_type"], device["node_guid"]) == ("ff0", "ca", "02ff:f100:0a20:0101")
    assert rdma(lab, "dev", place="h1c2")[0]["node_guid"] == "02ff:f100:0a20:0102"


def test_resources_are_the_container_s(lab):
    before, = rdma(lab, "resource", "show")
    script = "import sys, pyverbs.device as d, pyverbs.pd as p\nc = d.Context(name='ff0'); a, b = p.PD(c), p.PD(c)\n" \
             "print('here', flush=True); sys.stdin.read()"
    with lab.popen("h1c1", "/usr/bin/python3", "-c", script, stdin=-1) as program:
        assert program.stdout.readline() == "here\n"
        assert rdma(lab, "resource", "show")[0]["pd"] == before["pd"] + 2
        assert rdma(lab, "resource", "show", place="h1c2")[0]["pd"] == 0
        program.communicate()


def test_what_is_not_known_is_said(lab):
    for words in (("link", "show", "ff1/1"), ("link", "show", "ff0/2"), ("resource", "show", "qp")):
        assert lab.exec("h1c1", "rdma", *words).returncode != 0


def test_without_a_router_there_is_no_device(router):
    done = router.run("rdma", "link", env=router.environment(FREEFLOW_DIR="/nonexistent"))
    assert (done.returncode, done.stdout) == (0, "") and len(done.stderr.splitlines()) == 1


def test_a_kernel_s_socket_stays_the_kernel_s(lab):
    """Other protocols, and programs that are not FreeFlow's to serve."""
    assert "eth0" in said(lab.exec("h1c1", "ip", "link"))
    assert lab.exec("h1c1", "rdma", "link", mode="plain").returncode != 0
