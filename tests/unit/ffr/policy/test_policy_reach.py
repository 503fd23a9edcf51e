"""Rules of reach: what a file may say, and who may begin with whom by it."""

import random
from ipaddress import ip_address, ip_network

import pytest

from ffr.network.addresses import gid_network
from ffr.policy.reach import Party, Reach
from ffr.policy.registry import Policies, settings_in

TENANTS = ("blue", "green", "red")
ADDRESSES = [ip_address(text) for text in ("10.1.0.1", "10.1.0.2", "10.2.0.1", "fd00::1", "fd00:1::1")]
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.0.1", "fd00::/16", "fd00:1::/64")


def may_begin(reach, a, b):
    """a, b: (tenant, addresses)."""
    rows = reach.rows([reach.party(*a), reach.party(*b)])
    return bool(rows[0] & 2)


def both_ways(reach, a, b):
    return may_begin(reach, a, b), may_begin(reach, b, a)


BLUE, GREEN, RED = ((tenant, ADDRESSES[:1]) for tenant in TENANTS)
HOST, FOREIGN = ("host", ADDRESSES[3:4]), ("foreign", ADDRESSES[2:3])


def test_without_a_rule_tenants_are_apart_and_the_host_and_strangers_are_not():
    reach = Policies().reach
    assert both_ways(reach, BLUE, BLUE) == (True, True) and both_ways(reach, BLUE, GREEN) == (False, False)
    assert both_ways(reach, BLUE, HOST) == both_ways(reach, BLUE, FOREIGN) == (True, True)


def test_with_rules_only_they_allow():
    reach = Reach({"allow": [{"from": "blue", "to": ["green"], "one_way": True}, {"from": "foreign", "to": "red"}]})
    assert both_ways(reach, BLUE, GREEN) == (True, False) and both_ways(reach, FOREIGN, RED) == (True, True)
    assert both_ways(reach, BLUE, HOST) == both_ways(reach, BLUE, FOREIGN) == both_ways(reach, GREEN, RED) == (False, False)
    assert both_ways(reach, GREEN, GREEN) == (True, True)
    assert reach.rules_of(reach.party(*RED)) == ["reach.allow[1]"]


def test_a_rule_about_a_network_holds_for_its_addresses():
    reach = Reach({"allow": [{"name": "lan", "from": "10.1.0.0/16", "to": "green"}, {"from": "*", "to": "fd00::/16"}]})
    assert may_begin(reach, ("foreign", ADDRESSES[:1]), GREEN) and not may_begin(reach, ("foreign", ADDRESSES[2:3]), GREEN)
    assert both_ways(reach, ("blue", ADDRESSES[3:4]), RED) == (True, True)
    assert reach.rules_of(reach.party("green"))[0] == "reach.allow[0] (lan)"


def test_rows_are_what_each_rule_says_of_each_pair():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [*TENANTS, "host", "foreign", "*", *NETWORKS]
    for _ in range(200):
        rules = [{"from": chance.sample(names, 2), "to": chance.sample(names, 2), "one_way": chance.random() < 0.5}
                 for _ in range(chance.randrange(4))]
        reach = Reach({"allow": rules})
        whos = [(chance.choice([*TENANTS, "host", "foreign"]), chance.sample(ADDRESSES, 2)) for _ in range(6)]
        rows = reach.rows([reach.party(*who) for who in whos])
        for i, a in enumerate(whos):
            for j, b in enumerate(whos):
                wanted = any(_by_rule(rule, a, b) for rule in rules) or (a[0] == b[0] != "foreign")
                assert bool(rows[i] >> j & 1) == wanted, (rules, a, b)


def _by_rule(rule, a, b):
    forth = _meant(rule["from"], a) and _meant(rule["to"], b)
    return forth or (not rule["one_way"] and _meant(rule["to"], a) and _meant(rule["from"], b))


def _meant(side, who):
    tenant, addresses = who
    networks = [gid_network(ip_network(text)) for text in side if text in NETWORKS]
    mine = [gid_network(ip_network(address)) for address in addresses]
    return tenant in side or "*" in side or any(one.subnet_of(network) for one in mine for network in networks)


@pytest.mark.parametrize("settings, words", [
    ({"deny": []}, "unknown settings deny"),
    ({"allow": {"from": "a", "to": "b"}}, "a list of tables"),
    ({"allow": ["blue"]}, r"reach.allow\[0\] = 'blue': a table is needed"),
    ({"allow": [{"from": "blue"}]}, r"reach.allow\[0\].to is missing"),
    ({"allow": [{"from": "blue", "to": []}]}, "a tenant or a network"),
    ({"allow": [{"from": "blue", "to": [3]}]}, "a tenant or a network"),
    ({"allow": [{"from": "blue", "to": "10.0.0.1/8"}]}, r"reach.allow\[0\].to: 10.0.0.1/8 has host bits set"),
    ({"allow": [{"from": "blue", "to": "green", "one_way": "yes"}]}, "true or false"),
    ({"allow": [{"from": "blue", "to": "green", "ports": 3}]}, "unknown settings ports"),
    ({"allow": [{"from": "blue", "to": "green", "name": "a\nb"}]}, "printable"),
    ({"allow": [{"from": "a", "to": "b"}] * 10001}, "10001 rules; at most 10000"),
    ({"allow": [{"from": [f"10.{i}.{j}.0/24" for j in range(256)], "to": "b"} for i in range(5)]}, "different networks"),
])
def test_what_a_rule_cannot_be_is_said_with_its_place(settings, words):
    with pytest.raises(ValueError, match=words):
        Policies({"reach": settings})


def test_ten_thousand_rules_and_a_thousand_tenants_are_soon_worked_out():
    chance = random.Random(1)
    names = [f"tenant-{number}" for number in range(1000)]
    reach = Reach({"allow": [{"from": chance.choice(names), "to": chance.choice(names)} for _ in range(10_000)]})
    rows = reach.rows([reach.party(name) for name in names])
    assert len(rows) == 1000 and all(row >> at & 1 for at, row in enumerate(rows))


def test_nobody_s_reach_nobody_and_no_rule_means_them():
    reach = Reach({"allow": [{"from": "*", "to": "*"}]})
    rows = reach.rows([reach.party("blue"), Party(""), Party("")])
    assert rows == [1, 0, 0]


def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed():
    for text in (b"a." * 30_000 + b"a=1", b"[" + b'"a". ' * 30_000 + b"a]", b"a . " * 100 + b"a = 1"):
        with pytest.raises(ValueError, match="more than 16 parts"):
            settings_in(text, "there")
    assert settings_in(b'[[reach.allow]]\nfrom = "blue"\nto = ["10.1.2.0/24", "10.2.2.0/24"]\n', "there")
