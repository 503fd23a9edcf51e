"""Records of etcd, checked like anything that comes across a border, and by which rule an address is one host's."""

import json
import random
from ipaddress import ip_address

import pytest

from ffr.map import claims as claims_module
from ffr.map import records
from ffr.map.claims import Claims
from ffr.map.records import PREFIX, BadRecord

H1, H2, H3 = (ip_address(f"10.31.0.{n}") for n in (1, 2, 3))
A, B = ip_address("10.32.1.1"), ip_address("10.32.1.2")


@pytest.fixture
def claims():
    made = Claims(PREFIX)
    for host in (H1, H2):
        made.put(records.host_key(PREFIX, host), records.host_value("rack", "9f"), 1)
    return made


def claim(claims, host, address, created, since=0):
    return claims.put(records.claim_key(PREFIX, host, address), records.claim_value("web", since), created)


def test_what_is_written_is_read_again():
    made = records.parse(PREFIX, records.claim_key(PREFIX, H1, A), records.claim_value("web"), 7)
    assert (made.host, made.address, made.name, made.order) == (H1, A, "web", 7)
    made = records.parse(PREFIX, records.host_key(PREFIX, H1), records.host_value("n" * 300, "9f"), 7)
    assert (made.host, made.instance, len(made.name)) == (H1, "9f", records.NAME_CHARACTERS_MAX)


GOOD = b'{"name":"web","since":0}'
KEY = records.claim_key(PREFIX, H1, A)


@pytest.mark.parametrize("key, value", [
    (KEY, b""), (KEY, b"{"), (KEY, b"[]"), (KEY, b"null"), (KEY, b"{}"), (KEY, b"\xff\xfe"), (KEY, b"[" * 1000),
    (KEY, b'{"name":"web","since":"1"}'), (KEY, b'{"name":"web","since":true}'), (KEY, b'{"name":"web","since":1.5}'),
    (KEY, b'{"name":7}'), (KEY, b'{"name":""}'), (KEY, b'{"name":"a\\u0000b"}'), (KEY, b'{"name":"%s"}' % (b"n" * 65)),
    (KEY, b'{"name":"web"}' + b" " * records.VALUE_BYTES_MAX),
    (b"/freeflow/containers/10.31.0.1", GOOD), (b"/freeflow/containers/10.31.0.1/10.32.1.1/x", GOOD),
    (b"/freeflow/containers/10.31.0.1/10.32.1.999", GOOD), (b"/freeflow/containers//10.32.1.1", GOOD),
    (b"/freeflow/containers/10.31.0.1/010.032.001.001", GOOD), (b"/freeflow/containers/10.31.0.1/224.0.0.1", GOOD),
    (b"/freeflow/containers/10.31.0.1/127.0.0.1", GOOD), (b"/freeflow/containers/10.31.0.1/::ffff:10.32.1.1", GOOD),
    (b"/freeflow/containers/10.31.0.1/FD00::1", GOOD), (b"/freeflow/containers/10.31.0.1/\xff", GOOD),
    (b"/freeflow/", GOOD), (b"/freeflow/tenants/blue", GOOD), (b"/freeflow/hosts/10.31.0.1", GOOD),
])
def test_a_bad_record_is_refused_with_a_reason_and_moves_nothing(claims, key, value):
    with pytest.raises(BadRecord):
        records.parse(PREFIX, key, value, 5)
    before = {a: claims.owner(a) for a in (A, B, H1, H2)}
    moved = claims.put(key, value, 5)
    assert claims.refused[key] and (not moved or key == records.host_key(PREFIX, H1))
    assert all(claims.owner(a) == host for a, host in before.items() if a != H1)


def test_a_good_record_that_turns_bad_no_longer_counts(claims):
    claim(claims, H1, A, 5)
    assert claims.put(KEY, b"{", 5) == {A} and claims.owner(A) is None
    claim(claims, H1, A, 5)
    assert claims.owner(A) == H1 and not claims.refused


def test_of_two_claims_the_newer_one_counts(claims):
    claim(claims, H1, A, 10)
    assert claim(claims, H2, A, 12) == {A}
    assert claims.owner(A) == H2 and claims.conflicts() == {A: [H1, H2]}
    claims.delete(records.claim_key(PREFIX, H2, A))
    assert claims.owner(A) == H1 and not claims.conflicts()


def test_a_claim_that_is_written_again_is_as_old_as_it_was(claims):
    """The host that a container left was dead, and comes back with a fresh lease."""
    claim(claims, H1, A, 10)
    claim(claims, H2, A, 12)
    claims.delete(records.claim_key(PREFIX, H1, A))
    claim(claims, H1, A, 30, since=10)
    assert claims.owner(A) == H2


@pytest.mark.parametrize("since", [-5, 31, 1 << 80])
def test_no_claim_is_newer_than_its_key(claims, since):
    claim(claims, H1, A, 30, since=since)
    assert claims.claim(H1, A).order == 30


def test_a_host_that_is_gone_has_nothing(claims):
    claim(claims, H1, A, 10)
    claim(claims, H2, A, 9)
    assert claims.delete(records.host_key(PREFIX, H1)) == {A, H1}
    assert claims.owner(A) == H2 and claims.owner(H1) is None
    assert claims.put(records.host_key(PREFIX, H1), records.host_value("rack", "aa"), 20) == {A, H1}
    assert claims.owner(A) == H1


def test_a_hosts_own_address_is_not_to_be_claimed(claims):
    claim(claims, H1, H2, 99)
    assert claims.owner(H2) == H2


def test_there_is_an_end_to_what_is_kept(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "RECORDS_MAX", 3)
    claim(claims, H1, A, 5)
    assert claim(claims, H1, B, 6) == set() and claims.owner(B) is None
    assert claim(claims, H1, A, 7) == {A}, "what is known may change"
    claims.delete(records.claim_key(PREFIX, H1, A))
    assert claim(claims, H1, B, 8) == {B}
    for number in range(200):
        claims.put(b"/freeflow/containers/%d" % number, b"", 1)
    assert len(claims.refused) == Claims.REFUSED_MAX


def test_any_order_of_the_same_records_says_the_same(claims, seed):
    rng = random.Random(seed)
    for _ in range(300):
        one, other = Claims(PREFIX), Claims(PREFIX)
        entries = {}
        for created in range(2, 20):
            host, address = rng.choice((H1, H2, H3)), rng.choice((A, B))
            key = rng.choice((records.host_key(PREFIX, host), records.claim_key(PREFIX, host, address)))
            value = rng.choice((b"{", json.dumps({"name": "w", "instance": "i", "since": rng.randrange(20)}).encode()))
            if key in entries and rng.random() < 0.3:
                del entries[key]
                one.delete(key)
            else:
                entries[key] = (value, entries.get(key, (None, created))[1])
                one.put(key, *entries[key])
        for key in rng.sample(sorted(entries), len(entries)):
            other.put(key, *entries[key])
        assert [one.owner(a) for a in (A, B, H1, H2, H3)] == [other.owner(a) for a in (A, B, H1, H2, H3)]
        assert one.conflicts() == other.conflicts()


def test_whose_it_is_goes_along():
    key = records.claim_key(PREFIX, H1, A)
    assert records.parse(PREFIX, key, records.claim_value("web", tenant="shop"), 7).tenant == "shop"
    assert records.parse(PREFIX, key, records.claim_value("web"), 7).tenant == "default"
    assert b"tenant" not in records.claim_value("web")  # as those have it that know no tenants
    for tenant in ("host", "foreign", "*", "", "x" * 65, 3):
        with pytest.raises(BadRecord, match="`tenant`"):
            records.parse(PREFIX, key, json.dumps({"name": "web", "tenant": tenant}).encode(), 7)


def test_a_host_says_which_version_it_speaks():
    key = records.host_key(PREFIX, H1)
    assert records.parse(PREFIX, key, records.host_value("rack", "9f"), 1).wire == records.WIRE
    assert records.parse(PREFIX, key, b'{"name":"rack","instance":"9f"}', 1).wire == 1
    for wrong in (b"0", b"-1", b"true", b'"2"', b"4294967296"):
        with pytest.raises(BadRecord, match="`wire`"):
            records.parse(PREFIX, key, b'{"name":"rack","instance":"9f","wire":%s}' % wrong, 1)
