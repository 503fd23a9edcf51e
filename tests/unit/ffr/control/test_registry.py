"""Containers, their names and their addresses. The namespaces are stand-ins: what the kernel says is tested in
tests/integration/test_session_admission.py."""

import errno

import pytest
from refusals import StandIn, refused

from ffr.network import addresses
from ffr.control.identity import NamespaceId
from ffr.control.registry import HOST, MAX_CONTAINERS, MAX_REMEMBERED_REFUSALS, Registry


@pytest.fixture
def registry():
    registry = Registry()
    registry.add_host(StandIn(1), addresses.parse(["192.0.2.1"]))
    return registry


def test_a_container_is_found_by_its_namespace_and_keeps_it_open(registry):
    namespace = StandIn(2)
    web = registry.add("web", namespace, ["10.32.1.1", "fd00::1"])
    assert registry.find(namespace.id) is web and namespace.open
    assert web.gids == [bytes(10) + b"\xff\xff\x0a\x20\x01\x01", b"\xfd" + bytes(14) + b"\x01"]
    assert registry.find(NamespaceId(4, 3)) is None


def test_the_same_again_changes_nothing_and_keeps_one_descriptor(registry):
    web = registry.add("web", StandIn(2), ["10.32.1.1"])
    again = StandIn(2)
    assert registry.add("web", again, ["10.32.1.1"]) is web
    assert not again.open and web.namespace.open and len(registry) == 2


@pytest.mark.parametrize("name, inode, address, error", [
    ("web", 3, "10.32.1.2", errno.EEXIST),  # the name is taken
    ("web", 2, "10.32.1.2", errno.EEXIST),  # ... also by itself, with another address
    ("db", 2, "10.32.1.2", errno.EEXIST),  # the namespace is
    ("db", 3, "10.32.1.1", errno.EADDRINUSE),
    ("db", 3, "::ffff:10.32.1.1", errno.EADDRINUSE),  # the same address in other clothes
    ("db", 3, "192.0.2.1", errno.EADDRINUSE),  # the host's
    ("db", 1, "10.32.1.2", errno.EEXIST),
    (HOST, 3, "10.32.1.2", errno.EEXIST),
])
def test_nothing_is_given_twice(registry, name, inode, address, error):
    registry.add("web", StandIn(2), ["10.32.1.1"])
    namespace = StandIn(inode)
    refusal = refused(registry.add, name, namespace, [address])
    assert refusal.errno == error and "\n" not in refusal.reason
    assert not namespace.open and len(registry) == 2


def test_a_namespace_of_another_user_namespace_is_nobodys_to_register(registry):
    namespace = StandIn(2, foreign=True)
    assert refused(registry.add, "web", namespace, ["10.32.1.1"]).errno == errno.EPERM
    assert "user namespace" in registry.refusal_of(namespace.id)


def test_its_programs_are_told_why_a_container_was_refused_until_it_is_not(registry):
    namespace = StandIn(2)
    refused(registry.add, "web", namespace, ["192.0.2.1"])
    assert "taken" in registry.refusal_of(namespace.id)
    registry.add("web", StandIn(2), ["10.32.1.1"])
    assert registry.refusal_of(namespace.id) is None


def test_a_container_that_was_served_and_removed_is_not_told_of_a_refusal_in_between(registry):
    registry.add("web", StandIn(2), ["10.32.1.1"])
    again = StandIn(2)
    refused(registry.add, "web", again, ["10.32.1.7"])
    registry.remove("web")
    assert registry.refusal_of(again.id) is None


def test_remembered_refusals_are_bounded(registry):
    for inode in range(2, 2 + 2 * MAX_REMEMBERED_REFUSALS):
        refused(registry.add, "web", StandIn(inode), ["192.0.2.1"])
    assert registry.refusal_of(NamespaceId(4, 2)) is None
    assert registry.refusal_of(NamespaceId(4, 1 + 2 * MAX_REMEMBERED_REFUSALS))


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 48, "é" * 24, "\ud800", "\x1b[31m"])
def test_names_are_short_and_printable(registry, name):
    assert refused(registry.add, name, StandIn(2), ["10.32.1.1"]).errno == errno.EINVAL
    assert refused(registry.add, "web", StandIn(2), ["10.32.1.1"], name).errno == errno.EINVAL


@pytest.mark.parametrize("texts", [[], ["10.32.1"], ["127.0.0.1"], ["::1"], ["0.0.0.0"], ["224.0.0.5"], ["fe80::1"],
                                   ["fe80::1%eth0"], ["255.255.255.255"], ["169.254.0.1"], ["::ffff:127.0.0.1"],
                                   [f"10.0.0.{n}" for n in range(1, 18)], ["10.32.1.1/24"], [""]])
def test_addresses_that_no_container_can_have(registry, texts):
    assert refused(registry.add, "web", StandIn(2), texts).errno == errno.EINVAL


def test_remove_gives_everything_back(registry):
    namespace = StandIn(2)
    registry.add("web", namespace, ["10.32.1.1"])
    assert registry.remove("web").name == "web"
    assert not namespace.open and registry.find(namespace.id) is None
    registry.add("db", StandIn(2), ["10.32.1.1"])
    assert refused(registry.remove, "web").errno == errno.ENOENT
    assert refused(registry.remove, HOST).errno == errno.EINVAL


def test_the_number_of_containers_is_bounded(registry):
    for number in range(1, MAX_CONTAINERS):
        registry.add(f"c{number}", StandIn(number + 1), [f"10.1.{number >> 8}.{number & 255}"])
    assert refused(registry.add, "more", StandIn(9999), ["10.9.9.9"]).errno == errno.ENOSPC


def test_the_host_follows_its_interfaces_but_takes_no_containers_address(registry):
    registry.add("web", StandIn(2), ["10.32.1.1"])
    assert not registry.update_host(addresses.parse(["192.0.2.1"]))
    assert registry.update_host(addresses.parse(["192.0.2.7", "10.32.1.1"]))
    assert [str(a) for a in registry.find(NamespaceId(4, 1)).addresses] == ["192.0.2.7"]
    registry.add("db", StandIn(3), ["192.0.2.1"])
    assert refused(registry.add, "more", StandIn(4), ["192.0.2.7"]).errno == errno.EADDRINUSE


def test_a_container_changes_its_addresses(registry):
    web = registry.add("web", StandIn(2), ["10.32.1.1", "10.32.1.2"])
    changed, before = registry.update("web", ["10.32.1.2", "fd00::2"])
    assert changed is web and [str(a) for a in before] == ["10.32.1.1", "10.32.1.2"]
    assert [str(a) for a in web.addresses] == ["10.32.1.2", "fd00::2"]
    registry.add("db", StandIn(3), ["10.32.1.1"])  # is free again
    assert registry.find(web.namespace.id) is web


@pytest.mark.parametrize("name, texts, error", [
    ("web", ["10.32.1.2"], errno.EADDRINUSE), ("web", ["192.0.2.1"], errno.EADDRINUSE), ("web", [], errno.EINVAL),
    ("web", ["127.0.0.1"], errno.EINVAL), ("nobody", ["10.32.1.9"], errno.ENOENT), (HOST, ["10.32.1.9"], errno.ENOENT)])
def test_a_refused_change_changes_nothing(registry, name, texts, error):
    registry.add("web", StandIn(2), ["10.32.1.1"])
    registry.add("db", StandIn(3), ["10.32.1.2"])
    assert refused(registry.update, name, texts).errno == error
    assert [str(a) for a in registry.find(NamespaceId(4, 2)).addresses] == ["10.32.1.1"]
    assert refused(registry.add, "more", StandIn(4), ["10.32.1.1"]).errno == errno.EADDRINUSE


def test_what_is_granted_is_kept_for_its_owner_while_it_is_absent(registry):
    web = registry.add("web", StandIn(2), ["10.32.1.1"])
    a = web.granted[0]
    registry.follow(web, {a: 2})
    registry.follow(web, {})
    assert not web.addresses
    assert refused(registry.add, "db", StandIn(3), ["10.32.1.1"]).errno == errno.EADDRINUSE
    thief = registry.add("thief", StandIn(4), ["10.32.1.4"], "default", ["10.32.0.0/16"])
    registry.follow(thief, {a: 2})
    assert thief.addresses == thief.granted and registry.affected({a}) == [thief]


def test_what_is_taken_gives_way_to_a_grant_and_to_other_hosts(registry):
    web = registry.add("web", StandIn(2), ["10.32.1.1"], "default", ["10.32.0.0/16"])
    free, = addresses.parse(["10.32.1.9"])
    registry.follow(web, {free: 2})
    assert free in web.addresses
    other = registry.add("other", StandIn(4), ["10.32.1.4"], "default", ["10.32.0.0/16"])
    registry.follow(other, {free: 2})
    assert free not in other.addresses  # first come
    db = registry.add("db", StandIn(3), ["10.32.1.9"])
    assert set(registry.affected({free})) == {web, other}
    registry.follow(web, {free: 2})
    assert free in db.addresses and free not in web.addresses
    registry.remove("db")
    registry.follow(other, {free: 2}, lambda address: False)  # another host has it
    assert free not in other.addresses
    registry.follow(other, {free: 2})
    assert free in other.addresses
    registry.remove("other")
    assert registry.add("last", StandIn(5), ["10.32.1.9"])


@pytest.mark.parametrize("networks", [["10.32.1.1/24"], ["x"], ["10.0.0.0/8"] * 17, [""]])
def test_networks_that_are_none(registry, networks):
    assert refused(registry.add, "web", StandIn(2), ["10.32.1.1"], "default", networks).errno == errno.EINVAL
