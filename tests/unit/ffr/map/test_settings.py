"""Where etcd is, as files and people write it."""

from ipaddress import ip_address

import pytest

from ffr.map import static
from ffr.map.settings import Endpoint, Settings

OWN = tuple(map(ip_address, ("10.31.0.1", "192.168.7.1", "fd00::1")))


@pytest.mark.parametrize("url, target, secure", [
    ("http://10.31.0.1:2379", "10.31.0.1:2379", False), ("https://etcd.example", "etcd.example:2379", True),
    ("10.31.0.1", "10.31.0.1:2379", False), ("http://[fd00::1]:7/", "[fd00::1]:7", False),
])
def test_endpoints(url, target, secure):
    made = Endpoint.of(url)
    assert (made.target, made.secure) == (target, secure)


@pytest.mark.parametrize("table", [
    {}, {"endpoints": []}, {"endpoints": "http://a"}, {"endpoints": ["ftp://a"]}, {"endpoints": ["http://a:port"]},
    {"endpoints": ["http://a/path"]}, {"endpoints": ["http://u:p@a"]}, {"endpoints": ["a"] * 17}, {"endpoint": ["a"]},
    {"endpoints": ["a"], "lease_s": 1}, {"endpoints": ["a"], "lease_s": "10"}, {"endpoints": ["a"], "prefix": "x"},
    {"endpoints": ["a"], "cert": "c"}, {"endpoints": ["a"], "user": "u"}, {"endpoints": ["a"], "ca": 7},
    {"endpoints": ["a"], "address": "10.31.0.300"},
])
def test_what_is_wrong_is_refused(table):
    with pytest.raises(ValueError):
        Settings.of_table(table)


def settings(**table):
    return Settings.of_table({"endpoints": ["http://127.0.0.1:2379"]} | table)


def test_this_host_among_the_others(monkeypatch):
    monkeypatch.delenv("HOST_IP_PREFIX", raising=False)
    assert settings(address="192.168.7.1").own_address(OWN) == OWN[1]
    with pytest.raises(ValueError, match="not an address of this host"):
        settings(address="10.9.9.9").own_address(OWN)
    with pytest.raises(ValueError, match="Say --address"):
        settings().own_address(OWN)  # etcd on loopback tells nothing
    assert settings().own_address(OWN[:1]) == OWN[0]
    monkeypatch.setenv("HOST_IP_PREFIX", "10.31.0.0/24")
    assert settings().own_address(OWN) == OWN[0]
    monkeypatch.setenv("HOST_IP_PREFIX", "10.31.0.0/240")
    with pytest.raises(ValueError, match="HOST_IP_PREFIX"):
        settings().own_address(OWN)


def test_a_file_says_one_of_two_things(tmp_path):
    path = tmp_path / "hosts.toml"
    path.write_text('[etcd]\nendpoints = ["10.31.0.1"]\nlease_s = 5\n')
    hosts, etcd = static.load(path)
    assert hosts is None and etcd.lease_s == 5
    path.write_text('[hosts]\n"10.31.0.1" = []\n')
    assert static.load(path) == ({"10.31.0.1": []}, None)
    path.write_text('[hosts]\n[etcd]\nendpoints = ["10.31.0.1"]\n')
    with pytest.raises(ValueError, match="one table is needed"):
        static.load(path)
