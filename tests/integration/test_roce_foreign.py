"""A container and a RoCEv2 peer that knows nothing of FreeFlow, on the container's network."""

import subprocess
import sys
from pathlib import Path

import pytest

from freeflow.pair import run_pair
from places import Lab
from programs import SOURCES

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
    program, port = PROGRAMS[transport]
    client = lab.put("h1c1", SOURCES / program)
    peer, done = run_pair(
        ["ip", "netns", "exec", name, sys.executable, str(SUPPORT / "foreign_peer.py"), transport, address],
        ["env", f"FREEFLOW_LAB={lab.name}", *lab.words("h1c1", "/usr/bin/python3", client, "client", address)], port)
    assert (peer.stdout, done.stdout) == ("ok\n", "ok\n"), f"{peer}\n{done}"
