"""Messages of every length around packets' borders, byte for byte, on paths of either size: by the hands of the NIC
(nic/roce/rings.pyx, nic/roce/listen.pyx), which tests/protocol does not reach."""

import pytest

from places import Lab
from programs import names_in, program

NAMES = names_in("wire_lengths")
LABS = {"1500": {"host_count": 2, "container_count": 1, "wire_mtu": 1500},
        "stream": {"host_count": 2, "container_count": 1, "link": "stream"},
        "9000": {"host_count": 2, "container_count": 1, "wire_mtu": 9000},
        "one-host": {"host_count": 1, "container_count": 2, "nic": "roce"}}


@pytest.fixture(scope="module", params=LABS, ids=str)
def hosts(request):
    made = Lab(f"-long{list(LABS).index(request.param)}", **LABS[request.param])
    yield made
    made.down()


def status(lab, host):
    with lab.control(host) as router:
        return router.call("status")["roce"]


def both(lab, name, seed):
    """Runs one test of wire_lengths in the first container and the last one, which posts."""
    first, last = "h1c1", "h2c1" if len(lab.plan.hosts) == 2 else "h1c2"
    inside = {place: lab.put(place, program("wire_lengths")) for place in (first, last)}
    words = ["env", f"LENGTHS_SEED={seed}"]
    sides = [lab.popen(first, *words, inside[first], name),
             lab.popen(last, *words, f"LENGTHS_PEER={lab.plan.find(first).address}", inside[last], name)]
    said = [side.communicate(timeout=90) for side in sides]
    assert [out for out, _ in said] == [f"ok {name}\n"] * 2, said


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("hole")])
def test_every_length_arrives_and_nothing_beside_it(hosts, rng, name):
    both(hosts, name, rng.getrandbits(60))
    for host in hosts.plan.hosts:
        counters = status(hosts, host.name)["counters"]
        assert counters["bad_icrc"] == counters["dropped"] == counters["refused"] == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("hole")])
def test_memory_that_vanishes_under_a_long_message_is_a_status(hosts, name):
    """LOC_PROT_ERR for whose memory it was, REM_ACCESS_ERR or REM_OP_ERR for the other; routers go on."""
    before = [host["router"]["pid"] for host in hosts.status()["hosts"]]
    both(hosts, name, 1)
    both(hosts, "rc_write", 2)
    assert [host["router"]["pid"] for host in hosts.status()["hosts"]] == before
