"""A container and a RoCEv2 peer that knows nothing of FreeFlow, on the container's network."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freeflow.lab import state
from freeflow.pair import run_pair
from lab_checks import said
from places import Lab
from programs import SOURCES, program

SUPPORT = Path(__file__).parents[1] / "support"
PROGRAMS = {"rc": ("pyverbs_rc.py", 18516), "ud": ("pyverbs_ud.py", 18517)}


@pytest.fixture(scope="module")
def lab_and_peer():
    """A lab of one host, and a network namespace of its own on its overlay: (lab, namespace, address)."""
    lab = Lab("-foreign", host_count=1, container_count=1)
    host, name, address = lab.plan.hosts[0], f"{lab.name}-peer", "10.32.1.200"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True)
        for words in (f"link add foreign mtu 1500 type veth peer name eth0 mtu 1500 netns {name}",
                      "link set foreign master overlay up"):
            subprocess.run(["ip", "-n", host.netns, *words.split()], check=True)
        for words in ("link set lo up", f"addr add {address}/16 dev eth0", "link set eth0 up"):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield lab, name, address
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
        lab.down()


@pytest.mark.parametrize("transport", PROGRAMS)
def test_pyverbs_talks_to_it(lab_and_peer, transport):
    """SENDs both ways, WRITE and READ; or a datagram and its answer, which says where it came from."""
    lab, name, address = lab_and_peer
    source, port = PROGRAMS[transport]
    client = lab.put("h1c1", SOURCES / source)
    peer, done = run_pair(
        ["ip", "netns", "exec", name, sys.executable, str(SUPPORT / "foreign_peer.py"), transport, address],
        ["env", f"FREEFLOW_LAB={lab.name}", *lab.words("h1c1", "/usr/bin/python3", client, "client", address)], port)
    assert (peer.stdout, done.stdout) == ("ok\n", "ok\n"), f"{peer}\n{done}"


@pytest.mark.parametrize("link, largest", [(1500, 1024), (9000, 4096), (1280, 1024), (4191, 2048), (4192, 4096)])
def test_a_path_mtu_that_the_container_s_link_does_not_carry_is_refused(lab_and_peer, link, largest):
    """Its packets would be lost, all of them. Within FreeFlow the link carries nothing."""
    lab, _, address = lab_and_peer
    pid = state.load(lab.name).processes["h1c1"].pid
    words = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "set", "eth0", "mtu"]
    try:
        subprocess.run([*words, str(link)], check=True)
        time.sleep(0.3)  # the router looks ten times a second
        client = lab.put("h1c1", program("foreign_mtu"))
        asked = lab.exec("h1c1", client, address)
        sizes = [256 << n for n in range(5)]
        assert said(asked).split() == [f"{mtu}:{'yes' if mtu <= largest else 'no'}" for mtu in sizes]
        told = re.findall(r"path_mtu (\d+) is more .* carries: (\d+) at most.*-m (\d+)", asked.stderr)
        assert told == [(str(mtu), str(largest), str(largest)) for mtu in sizes if mtu > largest]
        assert "4096:yes" in said(lab.exec("h1c1", client, "10.32.1.1"))
    finally:
        subprocess.run([*words, "1500"], check=True)
