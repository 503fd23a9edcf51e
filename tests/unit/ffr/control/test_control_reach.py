"""What the reactor is told of who may talk to whom, against the rules themselves, while containers, tenants, hosts and rules
come and go."""

import random
from ipaddress import ip_address

import pytest

from ffr.control.reach import Parties
from ffr.errors import Refused
from ffr.map.hosts import HostMap
from ffr.network.addresses import gid
from ffr.policy.registry import Policies
from ffr.reactor import reach as table_module
from ffr.reactor.reach import Reach
from ffr.reactor.reactor import Reactor

H2, H3 = ip_address("10.31.0.2"), ip_address("10.31.0.3")
POOL = [ip_address(f"10.32.{host}.{number}") for host in (1, 2, 3) for number in range(1, 7)]
TENANTS = ("blue", "green", "red")


class Container:
    is_host = False

    def __init__(self, tenant, addresses):
        self.tenant, self.addresses, self.sessions = tenant, tuple(addresses), set()


@pytest.fixture
def reactor():
    made = Reactor()
    made.start()
    yield made
    made.stop()


class World:
    """All that Parties hears of, and what follows from it by the rules alone."""

    def __init__(self, reactor):
        self.policies, self.hosts = Policies(), HostMap()
        self.table = Reach(reactor)
        self.parties = Parties(self.table, self.policies, self.hosts)
        self.hosts.listen(lambda changes: self.parties.moved(list(changes)))
        self.here, self.elsewhere = [], {}

    def add(self, tenant, addresses):
        self.here.append(Container(tenant, addresses))
        self.parties.add(self.here[-1])

    def remove(self, container):
        self.here.remove(container)
        self.parties.remove(container)

    def move(self, address, host, tenant):
        self.elsewhere[address] = (host, tenant)
        self.hosts.move({address: host}, {address: tenant})

    def use(self, settings):
        self.policies.replace(settings, [])
        self.parties.replaced()

    def party(self, address):
        reach = self.policies.reach
        for container in self.here:
            if address in container.addresses:
                return reach.party(container.tenant, container.addresses)
        host, tenant = self.elsewhere.get(address, (None, None))
        return reach.party(tenant if host else "foreign", (address,))

    def check(self):
        for a in POOL:
            for b in POOL:
                pair = [self.party(a), self.party(b)]
                if pair[0].tenant == pair[1].tenant == "foreign":
                    continue
                wanted = bool(self.policies.reach.rows(pair)[0] >> 1 & 1) or pair[0] == pair[1]
                assert self.table.may_begin(gid(a), gid(b)) == wanted, (a, b, pair)


def rules(chance):
    sides = [*TENANTS, "host", "foreign", "*", "10.32.1.0/24", "10.32.0.0/16", "10.32.2.3"]
    allow = [{"from": chance.choice(sides), "to": chance.choice(sides), "one_way": chance.random() < 0.5}
             for _ in range(chance.randrange(4))]
    return chance.choice([{}, {"reach": {"allow": allow}}])


def test_the_reactor_knows_what_the_rules_say(reactor):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = World(reactor)
    for _ in range(120):
        free = [a for a in POOL if not any(a in c.addresses for c in world.here)]
        what = chance.randrange(4)
        if what == 0 and len(free) > 2:
            world.add(chance.choice(TENANTS), chance.sample(free, chance.randrange(1, 3)))
        elif what == 1 and world.here:
            world.remove(chance.choice(world.here))
        elif what == 2:
            world.move(chance.choice(POOL), chance.choice([H2, H3, None]), chance.choice(TENANTS))
        else:
            world.use(rules(chance))
        world.check()


def test_one_tenant_alone_costs_nothing(reactor):
    world = World(reactor)
    world.add("blue", POOL[:2])
    assert world.table.is_open
    world.add("green", POOL[2:3])
    assert not world.table.is_open
    world.use({"reach": {"allow": [{"from": "*", "to": "*"}]}})
    assert world.table.is_open


def test_numbers_come_again_and_their_end_is_told(reactor, monkeypatch):
    from ffr.control import reach as parties
    monkeypatch.setattr(parties, "PARTIES", 6)
    world = World(reactor)
    for number in range(40):
        world.add(f"tenant-{number}", POOL[:1])
        world.check()
        world.remove(world.here[0])
    for number in range(4):
        world.add(f"tenant-{number}", POOL[number:number + 1])
    with pytest.raises(Refused, match="6 tenants"):
        world.add("one-more", POOL[5:6])
    world.here.pop()
    world.check()
    world.move(POOL[6], H2, "beyond")  # elsewhere: it reaches nobody, and nobody it
    assert not world.table.may_begin(gid(POOL[6]), gid(POOL[0])) and not world.table.may_begin(gid(POOL[0]), gid(POOL[6]))


def test_a_reactor_that_is_busy_hears_it_later(reactor, monkeypatch):
    world = World(reactor)
    world.add("blue", POOL[:1])
    world.add("green", POOL[1:2])
    again = []

    class Loop:
        def call_later(self, seconds, function):
            again.append(function)
    monkeypatch.setattr("asyncio.get_running_loop", Loop)
    reactor.stop()
    monkeypatch.setattr("ffr.reactor.reactor.ADMIN_WAIT_S", 0.01)
    world.use({"reach": {"allow": [{"from": "blue", "to": "green"}]}})
    assert again and not world.table.may_begin(gid(POOL[0]), gid(POOL[1]))
    reactor.start()
    again.pop()()
    world.check()
    assert world.table.may_begin(gid(POOL[0]), gid(POOL[1])) and not again


def test_a_full_table_is_refused(reactor):
    table = Reach(reactor)
    with pytest.raises(ValueError, match="at most"):
        table.set_rules([0] * (table_module.PARTIES + 1), [], True)
    with pytest.raises(ValueError, match="at most"):
        table.set_rules([0], [(bytes(16), 0, 0)] * (table_module.RANGES + 1), True)
