"""Programs of two hosts over a network that loses, damages, doubles and reorders what their routers send: the routers do
that to themselves (src/ffr/nic/roce/faulty.pxd), packet by packet."""

import pytest

from freeflow.control import RouterRefused
from freeflow.perftest import Perftest, typical_us
from exchange import exchange
from places import Lab

BAD = {"drop": 0.01, "reorder": 0.01, "behind_us": 300, "corrupt": 0.01, "duplicate": 0.01}
SECONDS = 3


@pytest.fixture(scope="module")
def hosts():
    made = Lab("-bad", host_count=2, container_count=1)
    yield made
    made.down()


def spoil(lab, plan):
    for seed, host in enumerate(("h1", "h2"), 1):
        with lab.control(host) as router:
            router.call("faults", plan=plan and plan | {"seed": seed})


def status(lab, host="h1"):
    with lab.control(host) as router:
        return router.call("status")["roce"]


@pytest.fixture
def bad(hosts):
    spoil(hosts, BAD)
    yield hosts
    spoil(hosts, {})


def test_rc_arrives_whole_once_and_in_order(bad):
    sent, came = exchange(bad, "rc", SECONDS)
    assert sent == came >= 5
    for host in ("h1", "h2"):
        said = status(bad, host)
        assert min(said["faults"][what] for what in ("dropped", "duplicated", "corrupted", "reordered")) > 0
        assert said["counters"]["bad_icrc"] + said["counters"]["strangers"] > 0, "what was damaged was seen"
        assert said["counters"]["retransmitted"] > 0
    assert status(bad)["counters"]["held"] + status(bad, "h2")["counters"]["held"] > 0, "what came ahead was kept"


@pytest.mark.parametrize("transport", ["uc", "ud"])
def test_an_unreliable_transport_loses_but_does_not_damage(bad, transport):
    sent, came = exchange(bad, transport, SECONDS)
    assert 0 < came < sent, "some were lost"
    assert came > 0.8 * sent, "few were"


def test_a_plan_that_is_taken_back_spoils_nothing_more(hosts):
    before = status(hosts)["faults"]
    assert len(set(exchange(hosts, "rc", 0.5))) == 1
    assert status(hosts)["faults"] == before


def test_delay_is_added_to_every_message(hosts):
    pair = Perftest(lambda place: ["env", f"FREEFLOW_LAB={hosts.name}", *hosts.words(place)], client="h2c1")
    spoil(hosts, {"delay_us": 2000})
    try:
        assert typical_us(pair.run("ib_send_lat", "-n", 100).row) >= 2000
    finally:
        spoil(hosts, {})
    assert typical_us(pair.run("ib_send_lat", "-n", 100).row) < 1500


@pytest.mark.parametrize("plan", [{"drop": 2}, {"drop": "many"}, {"delay_us": 1e9}, {"loss": 0.1}, {"seed": -1}], ids=str)
def test_a_plan_that_cannot_be_is_refused(hosts, plan):
    with hosts.control("h1") as router, pytest.raises(RouterRefused, match="faults"):
        router.call("faults", plan=plan)
    assert not status(hosts)["faults"]["on"]
