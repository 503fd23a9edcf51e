"""The map as the router uses it, and maps that are written down."""

import errno
from ipaddress import ip_address

import pytest
from refusals import refused

from ffr.map import hosts as hosts_module
from ffr.map import static
from ffr.map.hosts import HERE, HostMap

H1, H2, H3 = (ip_address(f"10.31.0.{n}") for n in (1, 2, 3))
A, B, C = (ip_address(f"10.32.2.{n}") for n in (1, 2, 3))


@pytest.fixture
def hosts():
    return HostMap()


@pytest.fixture
def heard(hosts):
    changes = []
    hosts.listen(changes.append)
    return changes


def test_alone_it_knows_what_is_registered_here(hosts, heard):
    hosts.here([A])
    assert hosts.is_here(A) and hosts.host_of(A) is None and hosts.others() == {}
    hosts.gone([A])
    assert not hosts.is_here(A)
    assert heard == [{A: HERE}, {A: None}]


def test_an_address_elsewhere_is_found_until_it_is_taken_back(hosts, heard):
    hosts.move({A: H2, B: H2, C: H3})
    assert (hosts.host_of(A), hosts.host_of(C), hosts.others()) == (H2, H3, {H2: 2, H3: 1})
    hosts.move({A: H3, B: None, ip_address("10.32.9.9"): None})
    assert (hosts.host_of(A), hosts.host_of(B)) == (H3, None)
    assert heard == [{A: H2, B: H2, C: H3}, {A: H3, B: None}]


def test_what_is_said_again_is_no_change(hosts, heard):
    hosts.move({A: H2})
    hosts.move({A: H2})
    hosts.replace({A: H2})
    assert len(heard) == 1


def test_replacing_forgets_the_rest(hosts, heard):
    hosts.move({A: H2, B: H2})
    hosts.replace({B: H3})
    assert (hosts.host_of(A), hosts.host_of(B)) == (None, H3) and heard[1] == {A: None, B: H3}


def test_what_is_here_is_here_whatever_others_say(hosts, heard):
    hosts.here([A])
    hosts.move({A: H2})
    assert hosts.host_of(A) is None and heard == [{A: HERE}]
    hosts.gone([A])
    assert hosts.host_of(A) == H2 and heard[1] == {A: H2}, "moved: it was here, and the map knew where it went"


def test_a_better_claim_to_what_is_here_is_told_to_who_asked(hosts, heard):
    contested = []
    hosts.listen_contested(contested.append)
    hosts.here([A])
    hosts.move({A: H2, B: H2})
    assert contested == [[A]] and hosts.is_elsewhere(A) and hosts.is_here(A)
    hosts.move({A: None})
    assert contested == [[A]] and not hosts.is_elsewhere(A)


def test_who_listens_late_hears_what_is_known(hosts):
    hosts.here([A])
    hosts.move({B: H2})
    heard = []
    hosts.listen(heard.append)
    assert heard == [{A: HERE, B: H2}]


def test_a_map_that_is_too_large_is_cut(hosts, monkeypatch):
    monkeypatch.setattr(hosts_module, "ADDRESSES_MAX", 2)
    assert hosts.move({A: H2, B: H2, C: H2}) == 1
    assert hosts.host_of(C) is None
    assert hosts.move({A: H3}) == 0, "who is known may still move"
    assert hosts.move({B: None, C: H2}) == 0


def test_a_written_map_has_this_host_and_the_others():
    own, elsewhere, _ = static.parse({"10.31.0.1": ["10.32.1.0/30"], "10.31.0.2": ["10.32.2.1"], "10.31.0.3": []}, (H1,))
    assert own == H1 and elsewhere == {A: H2, H2: H2, H3: H3}


@pytest.mark.parametrize("hosts, error", [
    ({"10.31.0.2": []}, errno.EINVAL),  # this host is not in it
    ({"10.31.0.1": "10.32.1.1"}, errno.EINVAL),
    ({"10.31.0.1": ["10.32.1.300"]}, errno.EINVAL),
    ({"10.31.0.1": ["10.0.0.0/8"]}, errno.EINVAL),
    ({"10.31.0.1": ["10.32.1.1"], "10.31.0.2": ["10.32.1.1"]}, errno.EINVAL),  # on two hosts
    ({"10.31.0.1": ["10.31.0.2"], "10.31.0.2": []}, errno.EINVAL),  # a host's address is its own
    ({"10.31.0.1": [], **{f"10.31.1.{n}": [f"10.{n + 40}.{m}.0/20" for m in range(0, 256, 16)] for n in range(9)}},
     errno.ENOSPC),
])
def test_what_is_wrong_with_a_written_map_is_said(hosts, error):
    assert refused(static.parse, hosts, (H1,)).errno == error


def test_a_file_without_the_table_is_refused(tmp_path):
    for text in ("", "hosts = 3", "[hosts"):
        (tmp_path / "hosts.toml").write_text(text)
        with pytest.raises(ValueError, match="hosts.toml"):
            static.load(tmp_path / "hosts.toml")


def test_a_written_map_says_whose_the_others_containers_are():
    parts = {"blue": ["10.32.2.1"], "default": ["10.32.2.2"]}
    own, elsewhere, tenants = static.parse({"10.31.0.1": [], "10.31.0.2": parts}, (H1,))
    hosts = HostMap()
    hosts.replace(elsewhere, tenants)
    said = [hosts.tenant_of(ip_address(text)) for text in ("10.32.2.1", "10.32.2.2", "10.31.0.2", "10.32.9.9")]
    assert said == ["blue", "default", "host", None]
    heard = []
    hosts.listen(heard.append)
    heard.clear()
    hosts.replace(elsewhere, {ip_address("10.32.2.2"): "blue"})  # the same places, other owners
    assert heard == [{ip_address("10.32.2.1"): H2, ip_address("10.32.2.2"): H2}]
    for wrong in ({"host": []}, {"*": []}, {"": []}, {"blue": "10.32.2.1"}, {"blue": ["10.32.2.1"], "green": ["10.32.2.0/30"]},
                  {"blue": ["::ffff:10.32.2.1"]}):
        assert refused(static.parse, {"10.31.0.1": [], "10.31.0.2": wrong}, (H1,)).errno == errno.EINVAL
