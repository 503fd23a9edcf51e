"""Multicast: the mcast_*.c programs through a real router, and perftest between containers."""

import pytest

from freeflow.perftest import Perftest
from programs import cases, run_case

# perftest's own group is an IPv6 one, and ib_send_bw refuses to mix it with GIDs of IPv4 addresses: 239.1.1.1 instead.
IPV4_GROUP = ("-M", "0:0:0:0:0:0:0:0:0:0:255:255:239:1:1:1")
HEARD = {"as_many_as_promised": "(freeflow: ibv_attach_mcast: a limit of this container is reached.*\n){2}"}


@pytest.mark.parametrize("source, name", cases("mcast"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))


@pytest.mark.parametrize("words", [("ib_send_bw", *IPV4_GROUP), ("ib_send_bw", "-s", "4096", *IPV4_GROUP),
                                   ("ib_send_lat",), ("ib_send_lat", *IPV4_GROUP)], ids=" ".join)
def test_perftest(lab, words):
    program, *options = words
    result = Perftest(lab.words).run(program, "-c", "UD", "-g", *options)
    assert len(result.rows) == 1 and result.row["#iterations"] > 0
