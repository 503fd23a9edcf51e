"""Which addresses a container has: what its registration says, and what its interfaces have at the moment."""

import ipaddress

import pytest
from refusals import StandIn

from ffr.network import addresses
from ffr.control.container import HOST, Container
from ffr.network.interfaces import Link

A, B, C, D, SIX = addresses.parse(["10.32.1.1", "10.32.1.2", "10.32.1.3", "10.32.1.4", "fd00::1"])
UP, DOWN = Link(True, 1500), Link(False, 1500)


class Case:
    """A container with interfaces of its own. owned: addresses that are others'."""

    def __init__(self, granted=(A, B), allowed=(), name="web"):
        self.container = Container(name, "blue", StandIn(2), granted, addresses.networks(allowed))
        self.links, self.owned = {2: UP, 3: UP}, set()

    def has(self, *found, at=2):
        """Its interfaces have these now. Returns the table."""
        self.container.follow(dict.fromkeys(found, at), lambda address: address not in self.owned, self.links.get)
        return self.container.table


def test_an_address_that_no_interface_ever_had_counts_as_registered():
    case = Case()
    assert case.has() == [A, B]
    assert case.has(A) == [A, B]


def test_what_was_there_and_went_is_not_there_and_its_neighbours_keep_their_place():
    case = Case(granted=(A, B, C))
    case.has(A, B, C)
    assert case.has(B, C) == [None, B, C] and case.container.addresses == (B, C)
    assert case.container.gids[0] == bytes(16) and case.container.gids[1] == addresses.gid(B)
    assert case.has(C) == [None, None, C]
    assert case.has(A, C) == [A, None, C]
    assert case.has() == [] and case.container.gids == []
    assert case.has(C, B, A) == [A, B, C]  # in the registration's order, not in that of their coming


@pytest.mark.parametrize("allowed, taken", [
    ([], []), (["10.32.1.0/24"], [C, D]), (["10.32.1.3/32", "fd00::/64"], [C, SIX]), (["0.0.0.0/0", "::/0"], [C, D, SIX])])
def test_only_what_is_allowed_is_taken(allowed, taken):
    case = Case(allowed=allowed)
    assert case.has(A, C, D, SIX) == [A, B, *taken]
    assert case.container.ignored == {C, D, SIX} - set(taken)


def test_anothers_address_is_not_taken_until_it_is_free():
    case = Case(allowed=["10.32.0.0/16"])
    case.owned = {C}
    assert case.has(A, C) == [A, B] and case.container.ignored == {C}
    case.owned = set()
    assert case.has(A, C) == [A, B, C] and not case.container.ignored
    case.owned = {C}  # somebody was granted it
    assert case.has(A, C) == [A, B]


@pytest.mark.parametrize("text", ["127.0.0.5", "224.0.0.1", "169.254.1.1", "255.255.255.255", "ff02::5", "fe80::1", "::1"])
def test_what_no_container_can_have_is_not_taken_either(text):
    case = Case(allowed=["0.0.0.0/0", "::/0"])
    assert case.has(A, ipaddress.ip_address(text)) == [A, B]


def test_what_is_taken_keeps_its_place_while_it_lasts():
    case = Case(granted=(A,), allowed=["10.32.0.0/16", "fd00::/8"])
    assert case.has(A, B, C) == [A, B, C]
    assert case.has(A, C) == [A, None, C]
    assert case.has(A, C, SIX) == [A, SIX, C]
    assert case.has(C) == [None, None, C]


def test_a_table_has_sixteen_places():
    many = addresses.parse([f"10.32.2.{n}" for n in range(1, 17)])
    case = Case(granted=(A,), allowed=["10.32.0.0/16"])
    assert case.has(A, *many) == [A, *many[:15]]
    assert case.has(A, *many[1:]) == [A, many[15], *many[1:15]]


def test_what_is_remembered_of_others_addresses_is_bounded():
    case = Case(granted=(A,))
    case.has(*addresses.parse([f"10.33.1.{n}" for n in range(1, 16)]))
    assert len(case.container.ignored) == 15
    case.container.follow({addresses._usable(f"10.33.{n >> 8}.{n & 255}"): 2 for n in range(1, 2000)}, lambda _: True,
                          case.links.get)
    assert len(case.container.ignored) == 64


def test_the_port_is_down_while_no_link_with_its_addresses_is_up():
    case = Case()
    case.has()
    assert case.container.port_up  # nothing is known of any link
    case.links = {2: DOWN, 3: UP}
    case.has(A)
    assert not case.container.port_up
    case.container.follow({A: 2, B: 3}, lambda _: True, case.links.get)
    assert case.container.port_up
    case.links = {2: UP, 3: DOWN}
    case.has(B, at=3)
    assert not case.container.port_up
    case.links = {2: UP}  # its interface is gone, with the address
    case.has()
    assert not case.container.port_up
    case.has(B)
    assert case.container.port_up


def test_the_host_s_interfaces_are_believed_and_its_port_stays_up():
    case = Case(granted=(), name=HOST)
    case.links = {2: DOWN}
    assert case.has(A, SIX) == [A, SIX] and case.container.port_up
    assert case.has(SIX) == [None, SIX]
    case.owned = {A, SIX}
    assert case.has(A) == [None, SIX]  # all of them are containers': better the old ones than none


def test_the_guid_outlives_the_address_that_it_was_made_of():
    case = Case(granted=(A, B))
    before = case.container.guid
    assert before.hex() == "02fff1000a200101"
    case.has(A, B)
    case.has(B)
    case.container.grant((C,))
    assert case.container.guid == before
