"""Names and addresses of a lab; what cannot be one."""

import pytest

from freeflow.errors import FreeFlowError
from freeflow.lab.model import Plan


def test_addresses_are_those_of_the_documentation():
    plan = Plan(host_count=2, container_count=3)
    found = plan.find("h2c3")
    assert (found.name, found.address) == ("h2c3", "10.32.2.3")
    assert (plan.find("h2").address, plan.host_of(found).name) == ("10.31.0.2", "h2")


def test_nothing_is_shared_by_two():
    plan = Plan(host_count=32, container_count=100)
    for what in ("name", "address", "uid", "cgroup", "directory"):
        assert len({getattr(container, what) for container in plan.containers}) == 3200, what
    assert len(set(plan.netns_names)) == 33


def test_two_labs_share_no_name():
    one, other = Plan("lab"), Plan("lab-h1")
    assert not set(one.netns_names) & set(other.netns_names)
    assert not {c.cgroup for c in one.containers} & {c.cgroup for c in other.containers}


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a-", "a b", "x" * 33])
def test_a_name_that_is_no_name(name):
    with pytest.raises(FreeFlowError, match="FREEFLOW_LAB"):
        Plan(name)


@pytest.mark.parametrize("wrong", [{"host_count": 0}, {"host_count": 33}, {"container_count": 0},
                                   {"container_count": 101}, {"overlay": "pigeon"}, {"wire_mtu": 1279},
                                   {"wire_mtu": 65536}])
def test_limits(wrong):
    with pytest.raises(FreeFlowError):
        Plan(**wrong)


def test_who_is_not_there_is_told_who_is():
    with pytest.raises(FreeFlowError, match=r"no h1c3.*h1c1, h1c2"):
        Plan().find("h1c3")


def test_the_tunnel_costs_its_header():
    assert Plan(host_count=2, overlay="vxlan", wire_mtu=9000).overlay_mtu == 8950
    assert Plan(host_count=1, overlay="vxlan", wire_mtu=9000).overlay_mtu == 9000  # nothing to tunnel through
    assert Plan(host_count=2, overlay="bridge", wire_mtu=9000).overlay_mtu == 9000


def test_everybody_resolves():
    text = Plan(host_count=2, container_count=2).hosts_file()
    assert {"10.31.0.2\th2", "10.32.2.1\th2c1", "127.0.0.1\tlocalhost"} <= set(text.splitlines())
