"""What every policy of the registry promises (ffr/policy/base.py)."""

import os

import pytest

from ffr.errors import Refused
from ffr.policy.base import ROUTER_LIMITS, SESSION_LIMITS
from ffr.policy.registry import POLICIES, Policies, settings_of

# Settings that make a policy refuse sooner or later; a new policy adds its own.
STRICT = {
    "quota": {"session": {"max_qp": 8}, "tenants": {"blue": {"sessions": 3, "max_qp": 20, "pinned_bytes": 3 << 20}}},
}


class Container:
    name, tenant = "web", "blue"


def admitted(policy, most=100):
    """Grants until it refuses, or enough of them."""
    grants = []
    for _ in range(most):
        try:
            grants.append(SESSION_LIMITS | policy.narrow(Container, dict(SESSION_LIMITS)))
        except Refused as refusal:
            assert refusal.errno > 0 and refusal.reason and "\n" not in refusal.reason
            break
    return grants


@pytest.mark.parametrize("name", POLICIES)
def test_no_setting_no_effect(name):
    assert POLICIES[name]({}).narrow(Container, dict(SESSION_LIMITS)) == {}


@pytest.mark.parametrize("name", POLICIES)
def test_settings_that_it_does_not_know_are_refused_by_name(name):
    with pytest.raises(ValueError, match="colour"):
        POLICIES[name]({"colour": "blue"})


@pytest.mark.parametrize("name", POLICIES)
def test_it_sets_limits_that_exist_to_what_the_router_can_give(name):
    for limits in admitted(POLICIES[name](STRICT[name])):
        assert limits.keys() == SESSION_LIMITS.keys() == ROUTER_LIMITS.keys()
        assert all(0 < limits[key] <= ROUTER_LIMITS[key] for key in limits)


@pytest.mark.parametrize("name", POLICIES)
def test_what_was_given_back_can_be_given_again(name):
    policy = POLICIES[name](STRICT[name])
    first = admitted(policy)
    for limits in first:
        policy.release(Container, limits)
    assert admitted(policy) == first


@pytest.mark.parametrize("name", POLICIES)
def test_a_refusal_reserves_nothing(name):
    policy = POLICIES[name](STRICT[name])
    first = admitted(policy)
    for _ in range(3):
        assert admitted(policy) == []
    for limits in first:
        policy.release(Container, limits)
    assert admitted(policy) == first


def test_the_chain_gives_back_what_earlier_policies_reserved_when_a_later_one_refuses():
    policies = Policies({"quota": STRICT["quota"]})

    class Never:
        def narrow(self, container, limits):
            raise Refused(13, "never")

    policies._chain.append(Never())
    for _ in range(5):
        with pytest.raises(Refused, match="never"):
            policies.admit(Container)
    policies._chain.pop()
    assert [policies.admit(Container).limits["max_qp"] for _ in range(3)] == [6, 6, 6]


def test_each_policy_gets_back_the_limits_that_it_left():
    """A later policy's narrowing must not make an earlier one's books wrong."""
    policies = Policies({"quota": STRICT["quota"]})

    class Halve:
        def narrow(self, container, limits):
            return {"max_qp": limits["max_qp"] // 2}

        def release(self, container, limits):
            pass

    policies._chain.append(Halve())
    for _ in range(10):
        grant = policies.admit(Container)
        assert grant.limits["max_qp"] == 3
        policies.release(Container, grant)


def test_unknown_policies_and_what_is_no_table_are_told_apart_from_the_rest():
    for settings in ({"quotas": {}}, {"quota": 3}, {"quota": {"session": 3}}, {"quota": {"session": {"max_qp": 0}}},
                     {"quota": {"session": {"max_qp": True}}}, {"quota": {"tenants": {"blue": {"colour": 1}}}},
                     {"quota": {"tenants": {"blue": {"max_qp": 8}}}}, {"quota": {"session": {"control_bytes": 4096}}},
                     {"quota": {"tenants": {"blue": {"max_qp": 8, "sessions": 9}}}}):
        with pytest.raises(ValueError):
            Policies(settings)


def test_a_policy_file_is_read_and_its_path_is_in_the_error(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text("[quota.session]\nmax_qp = 7\n")
    assert Policies.of_file(path).admit(Container).limits["max_qp"] == 7
    path.write_text("[quota.session]\nmax_qp = \n")
    with pytest.raises(ValueError, match="policy.toml"):
        Policies.of_file(path)


@pytest.mark.parametrize("name", POLICIES)
def test_a_session_that_exists_is_kept_however_strict_the_new_settings_are(name):
    """... counts for those that come, and can be given back."""
    policy = POLICIES[name](STRICT[name])
    kept = [SESSION_LIMITS | policy.keep(Container, dict(SESSION_LIMITS)) for _ in range(100)]
    assert admitted(policy) == []
    for limits in kept:
        policy.release(Container, limits)
    assert admitted(policy) == admitted(POLICIES[name](STRICT[name]))


def test_other_settings_reach_the_sessions_that_exist_and_wrong_ones_change_nothing():
    policies = Policies({})
    grants = [(Container, policies.admit(Container, 8 << 20)) for _ in range(5)]
    sizes = [grant.limits["memory_bytes"] for _, grant in grants]
    with pytest.raises(ValueError):
        policies.replace({"quota": {"session": {"max_qp": 0}}}, grants)
    assert grants[0][1].limits["max_qp"] == SESSION_LIMITS["max_qp"] and policies.records(Container) == {}
    policies.replace({"quota": STRICT["quota"]}, grants)
    assert {grant.limits["max_qp"] for _, grant in grants} == {6}
    assert [grant.limits["memory_bytes"] for _, grant in grants] == sizes
    assert policies.records(Container) == {"max_qp": "quota.tenants.blue", "pinned_bytes": "quota.tenants.blue"}
    with pytest.raises(Refused):
        policies.admit(Container)
    for _, grant in grants[2:]:
        policies.release(Container, grant)
    third = policies.admit(Container)
    with pytest.raises(Refused):
        policies.admit(Container)
    policies.replace({}, [*grants[:2], (Container, third)])
    assert grants[0][1].limits["pinned_bytes"] == 8 << 20 and grants[0][1].limits["max_qp"] == SESSION_LIMITS["max_qp"]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "deep").write_text("x = " + "[" * 5000)
    for name in ("fifo", "bytes", "deep"):
        with pytest.raises(ValueError, match=name):
            settings_of(tmp_path / name)
    with pytest.raises(OSError):
        settings_of(tmp_path)
