"""What a policy file may say of rates."""

from types import SimpleNamespace

import pytest

from ffr.policy.rates import Rate
from ffr.policy.registry import Policies

WEB = SimpleNamespace(name="web", tenant="blue")


def test_whose_rate_is_what():
    rates = Policies({"rate": {"tenants": {"blue": {"bits_per_s": 10e9, "ops_per_s": 2e6}}, "containers": {"web": {"bits_per_s": 1_000_000}},
                               "qp": {"ops_per_s": 5}}}).rates
    assert rates.of_tenant("blue") == Rate("rate.tenants.blue", 1_250_000_000, 2_000_000) and rates.of_tenant("green") is None
    assert rates.of_container(WEB) == Rate("rate.containers.web", 125_000) and rates.qp == Rate("rate.qp", 0, 5)
    none = Policies().rates
    assert none.of_tenant("blue") is none.of_container(WEB) is none.qp is None


@pytest.mark.parametrize("settings, words", [
    ({"tenant": {}}, "unknown settings tenant"),
    ({"tenants": {"blue": {"bps": 3}}}, "rate.tenants.blue: unknown rate bps"),
    ({"tenants": {"blue": {}}}, "rate.tenants.blue: a rate is needed"),
    ({"tenants": {"blue": 3}}, "rate.tenants.blue = 3: a table"),
    ({"tenants": [3]}, "a table"),
    ({"qp": {"bits_per_s": -1}}, "from 1e\\+06 to 4e\\+11"),
    ({"qp": {"bits_per_s": "10 Gbit"}}, "a number"),
    ({"qp": {"bits_per_s": True}}, "a number"),
    ({"qp": {"bits_per_s": float("nan")}}, "a number"),
    ({"qp": {"ops_per_s": float("inf")}}, "a number"),
    ({"qp": {"ops_per_s": 0}}, "a number"),
])
def test_what_a_rate_cannot_be(settings, words):
    with pytest.raises(ValueError, match=words):
        Policies({"rate": settings})
