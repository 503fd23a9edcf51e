"""The network's batches, read and not run: who is joined to whom."""

from freeflow.lab import network
from freeflow.lab.model import Plan


def lines(batches):
    return [line for batch in batches for line in batch.lines]


def test_one_host_has_no_wire():
    plan = Plan(host_count=1)
    assert lines(network.wire(plan)) == []
    assert not any("wire0" in line for line in lines(network.host(plan, plan.hosts[0])))


def test_two_hosts_are_joined_directly():
    plan = Plan("pair", host_count=2, wire_mtu=4000)
    assert lines(network.wire(plan)) == ["link add wire0 mtu 4000 type veth peer name wire0 mtu 4000 netns ff-pair-h2"]


def test_more_meet_at_a_bridge():
    plan = Plan("many", host_count=4)
    batches = list(network.wire(plan))
    assert {batch.netns for batch in batches} == {"/run/netns/ff-many-wire"}
    assert sum("type veth" in line for line in lines(batches)) == 4


def test_a_bridged_overlay_includes_the_wire():
    plan = Plan(host_count=2)
    made = lines(network.host(plan, plan.hosts[1]))
    assert "link set wire0 master overlay up" in made and "addr add 10.31.0.2/24 dev overlay" in made


def test_a_tunnelled_overlay_floods_to_every_other_host():
    plan = Plan(host_count=3, overlay="vxlan")
    made = lines(network.host(plan, plan.hosts[1]))
    assert "addr add 10.31.0.2/24 dev wire0" in made
    assert not any("wire0 master" in line for line in made)
    assert [line.split()[-1] for line in made if line.startswith("fdb")] == ["10.31.0.1", "10.31.0.3"]


def test_every_container_gets_a_port():
    plan = Plan(host_count=1, container_count=2)
    made = lines(network.ports(plan, plan.hosts[0], {"h1c1": 501, "h1c2": 502}))
    assert [line.split()[-1] for line in made if "type veth" in line] == ["501", "502"]


def test_congestion_control_is_the_route_s():
    container = Plan().find("h1c1")
    assert not any("congctl" in line for line in lines(network.inside(container, 501)))
    assert "congctl cubic" in lines(network.inside(container, 501, "cubic"))[-1]
