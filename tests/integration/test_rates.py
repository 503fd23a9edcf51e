"""Rates of a policy file, seen in perftest's flows: in memory and by packets, with every kind of operation, and changed under them."""

import re
import time

import pytest
from places import Lab
from policies import counted, put
from router_process import eventually

from freeflow.pair import Side

WAIT_S = 30
SPAN_S = 1.0
SLACK = 1.02  # above its rate a flow never is, but for the burst and what the clocks of two processes differ by
SHARE = 0.6  # of its rate a flow has at least, on a machine that is busy with other things


class Flows:
    def __init__(self, path):
        self.path = path
        path.write_text("")
        self.lab = Lab("-rates", host_count=2, container_count=2, tenants=("blue",), policy=str(path))

    def use(self, text):
        put(self.path, text)
        wanted = {record: float(value) for record, value in re.findall(r"\[(rate\.[\w.]+)\]\n\w+ = (\S+)", text)}
        assert eventually(lambda: {record: max(rate["bits_per_s"], rate["ops_per_s"]) for record, rate in self.shown().items()} == wanted, WAIT_S)

    def shown(self):
        with self.lab.control("h1") as control:
            return control.call("policy.show", container="h1c2")["rates"]

    def start(self, words, server, client, port):
        words = [*words.split(), "-D", "60", "-p", str(port)]
        below = Side(self.lab.words(server, *words), self.lab.variables())
        below.wait_listening(port, WAIT_S)
        return below, Side(self.lab.words(client, *words, self.lab.plan.find(server).address), self.lab.variables())

    def per_s(self, client, field="tx_bytes"):
        """So many in a second, measured for SPAN_S once it flows; or less: the time is from before the first look to after the last."""
        assert eventually(lambda: counted(self.lab, client, field) > 0, WAIT_S)
        time.sleep(0.1)
        began, first = time.monotonic(), counted(self.lab, client, field)
        time.sleep(SPAN_S)
        return (counted(self.lab, client, field) - first) / (time.monotonic() - began)


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    made = Flows(tmp_path_factory.mktemp("policy") / "policy.toml")
    yield made
    made.lab.down()


@pytest.fixture
def flow(flows):
    """start(words, server, client): perftest for as long as the test."""
    running = []

    def start(words, server, client):
        running.extend(flows.start(words, server, client, 18700 + len(running)))
    yield start
    for side in reversed(running):
        side.stop()


@pytest.mark.parametrize("words, field", [("ib_write_bw", "tx_bytes"), ("ib_send_bw -s 4096", "tx_bytes"), ("ib_read_bw", "rx_bytes"),
                                          ("ib_send_bw -c UD -s 1024", "tx_bytes"), ("ib_write_bw -c UC", "tx_bytes")])
@pytest.mark.parametrize("server", ["h1c1", "h2c1"], ids=["one_host", "two_hosts"])
@pytest.mark.parametrize("bits_per_s", [20e6, 500e6])
def test_a_container_s_rate(flows, flow, words, field, server, bits_per_s):
    flows.use(f"[rate.containers.h1c2]\nbits_per_s = {bits_per_s}\n")
    flow(words, server, "h1c2")
    got = 8 * flows.per_s("h1c2", field)
    if field == "rx_bytes" and server == "h2c1":  # a READ is charged when it is asked for: what is under way is a burst
        assert SHARE * bits_per_s <= got <= 1.2 * bits_per_s + 8 * 16 * 65536
    else:
        assert SHARE * bits_per_s <= got <= SLACK * bits_per_s + 8 * 65536


@pytest.mark.parametrize("server", ["h1c1", "h2c1"], ids=["one_host", "two_hosts"])
def test_operations_are_counted_too(flows, flow, server):
    flows.use("[rate.qp]\nops_per_s = 20000\n")
    flow("ib_write_bw -s 64", server, "h1c2")
    assert SHARE * 20000 <= flows.per_s("h1c2", "tx_messages") <= SLACK * 20000 + 128


def test_a_tenant_shares_its_rate_and_a_change_is_seen_at_once(flows, flow):
    flows.use("[rate.tenants.blue]\nbits_per_s = 400e6\n")
    flow("ib_write_bw", "h1c1", "h1c2")
    flow("ib_write_bw", "h1c2", "h1c1")
    both = [flows.per_s("h1c2"), flows.per_s("h1c1")]
    assert SHARE * 400e6 <= 8 * sum(both) <= 1.3 * 400e6 and min(both) > 0.3 * max(both), both
    flows.use("[rate.tenants.blue]\nbits_per_s = 4e6\n")
    assert 8 * flows.per_s("h1c2") <= 4e6
    flows.use("[rate.tenants.blue]\nbits_per_s = 2e9\n")
    assert 8 * flows.per_s("h1c2") > 500e6
    assert flows.shown()["rate.tenants.blue"]["held_s"] > 0
    flows.use("")
    assert 8 * flows.per_s("h1c2") > 3e9
