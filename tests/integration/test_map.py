"""The map from a real etcd: several stores, each as a router has it, and an etcd that dies, forgets and is compacted."""

import asyncio
import time
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from etcd_server import Etcd

from ffr.map.etcd import EtcdStore
from ffr.map.hosts import HostMap
from ffr.map.settings import Settings

LEASE_S = 2
SOON_S = 8.0  # for what takes a moment, on a busy machine
A, B, C = (ip_address(f"10.32.1.{n}") for n in (1, 2, 3))


@pytest.fixture(scope="module")
def server():
    made = Etcd()
    yield made
    made.remove()


@pytest.fixture
def etcd(server):
    """Alive and empty."""
    if server.process.poll() is not None:
        server.start()
    server.ctl("del", "--prefix", "/")
    return server


class Host:
    """What a router has of the map."""

    def __init__(self, etcd, number, **settings):
        self.address = ip_address(f"10.31.0.{number}")
        self.map = HostMap()
        self.map.own = self.address
        self.store = EtcdStore(self.map, self.address, Settings.of_table({"endpoints": [etcd.url], "lease_s": LEASE_S} | settings))

    def add(self, name, *addresses):
        self.map.here(addresses)
        self.store.claim(SimpleNamespace(name=name, addresses=addresses, tenant="default"))

    def remove(self, *addresses):
        self.map.gone(addresses)
        self.store.release(addresses)

    def die(self):
        """As a router that is killed: nothing is said to anybody."""
        self.store._task.cancel()
        self.store._task = None

    async def sees(self, host, *addresses, within_s=SOON_S):
        """Until all of them are behind `host` (None: nobody has them)."""
        wanted = host and host.address
        await soon(lambda: all(self.map.host_of(address) == wanted for address in addresses), within_s,
                   lambda: f"{[str(self.map.host_of(a)) for a in addresses]} and not {wanted}: {self.store.status()}")


async def soon(true, within_s=SOON_S, why=lambda: ""):
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, why()
        await asyncio.sleep(0.01)


def told(*numbers, **settings):
    """A test whose argument `hosts` are those of these numbers, started; they leave at its end."""
    def decorate(function):
        def test(etcd):
            async def run():
                hosts = [Host(etcd, number, **settings) for number in numbers]
                for host in hosts:
                    host.store.start()
                try:
                    await function(etcd, *hosts)
                finally:
                    await asyncio.gather(*(host.store.close() for host in hosts))
            asyncio.run(run())
        test.__name__, test.__doc__ = function.__name__, function.__doc__
        return test
    return decorate


@told(1, 2)
async def test_hosts_see_each_others_containers(etcd, one, two):
    one.add("web", A, B)
    two.add("db", C)
    await one.sees(two, C, two.address)
    await two.sees(one, A, B, one.address)
    one.remove(B)
    await two.sees(None, B)
    assert two.map.host_of(A) == one.address and two.store.status()["connected"]


@told(1)
async def test_a_router_of_another_version_is_told_of(etcd, one):
    etcd.ctl("put", "/freeflow/hosts/10.31.0.9", '{"name": "old", "instance": "9f"}')
    await soon(lambda: one.store.status()["other_versions"] == {"10.31.0.9": 1})
    etcd.ctl("del", "/freeflow/hosts/10.31.0.9")
    await soon(lambda: one.store.status()["other_versions"] == {})


@told(1, 2)
async def test_a_container_that_moves_is_found_where_it_went(etcd, one, two):
    three = Host(etcd, 3)
    three.store.start()
    one.add("web", A)
    await three.sees(one, A)
    one.remove(A)
    two.add("web", A)
    await three.sees(two, A)
    await one.sees(two, A)
    await three.store.close()


@told(1, 2, 3)
async def test_the_newer_of_two_claims_counts_also_after_a_lost_lease(etcd, one, two, three):
    one.add("web", A)
    await three.sees(one, A)
    two.add("web", A)  # host 1 never heard that its container is gone
    await three.sees(two, A)
    assert three.store.status()["conflicts"] == {str(A): [str(one.address), str(two.address)]}
    assert one.map.is_here(A) and one.map.host_of(A) is None, "for host 1 it is still here"
    lost = one.store.status()["lease"]
    etcd.ctl("lease", "revoke", lost)
    await soon(lambda: one.store.status()["connected"] and one.store.status()["lease"] != lost)
    await soon(lambda: one.address in three.map.others())
    await asyncio.sleep(0.3)
    assert three.map.host_of(A) == two.address, "host 1 came back, and its claim is as old as it was"


@told(1, 2)
async def test_etcd_away_changes_nothing_and_what_happened_meanwhile_is_caught_up(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    etcd.kill()
    await soon(lambda: not two.store.status()["connected"] and not one.store.status()["connected"])
    one.add("late", B)
    await asyncio.sleep(LEASE_S * 1.5)
    assert two.map.host_of(A) == one.address and "endpoints" in two.store.status()
    etcd.start()
    await two.sees(one, A, B)
    await soon(lambda: one.store.status()["connected"] and two.store.status()["connected"])


@told(1, 2)
async def test_an_etcd_that_lost_everything_is_told_anew(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    gone = []
    two.map.listen(lambda changes: gone.extend(address for address, host in changes.items() if host is None))
    etcd.kill()
    etcd.forget()
    etcd.start()
    await soon(lambda: etcd.ctl("get", "--prefix", "--keys-only", "/freeflow/").count("/freeflow/") == 3)
    await asyncio.sleep(LEASE_S * 1.5)
    assert two.map.host_of(A) == one.address and gone == [], "not even for a moment"


@told(1, 2)
async def test_a_host_that_does_not_come_back_is_forgotten(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    one.die()
    began = time.monotonic()
    await two.sees(None, A, one.address)
    assert time.monotonic() - began > LEASE_S / 2


@told(1, 2)
async def test_neither_is_one_that_died_while_etcd_was_away(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    etcd.kill()
    one.die()
    etcd.forget()
    etcd.start()
    await soon(lambda: two.store.status()["connected"])
    assert two.map.host_of(A) == one.address, "it may yet come"
    await two.sees(None, A, one.address)


@told(2)
async def test_a_router_that_is_started_again_takes_up_its_records(etcd, two):
    one = Host(etcd, 1)
    one.add("web", A)
    one.add("gone", B)
    one.store.start()
    await two.sees(one, A, B)
    one.die()
    again = Host(etcd, 1)
    again.add("web", A)
    again.store.start()
    await two.sees(None, B, within_s=LEASE_S * 0.7)
    await asyncio.sleep(LEASE_S * 1.5)  # the dead one's lease has run out, and took nothing along
    assert two.map.host_of(A) == one.address
    await again.store.close()


@told(1, 2)
async def test_a_host_that_leaves_says_so(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    await one.store.close()
    one.store._task = None
    await two.sees(None, A, within_s=LEASE_S / 2)


@told(1, 2)
async def test_a_compacted_etcd_is_listed_again(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    etcd.kill()
    await soon(lambda: not two.store.status()["connected"])
    etcd.start()
    for number in range(5):
        etcd.ctl("put", f"/freeflow/containers/{one.address}/10.32.7.{number + 1}", '{"name":"x"}')
    revision = etcd.ctl("get", "x", "-w", "fields").split('"Revision" : ')[1].split()[0]
    etcd.ctl("compact", revision, "--physical")
    await soon(lambda: two.store.status()["connected"] and one.store.status()["connected"])
    one.add("late", B)
    await two.sees(one, A, B)


@told(1, 2)
async def test_records_that_somebody_removed_are_written_again(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    etcd.ctl("del", "--prefix", f"/freeflow/containers/{one.address}/")
    await soon(lambda: one.store.status()["attempts"] > 1)
    await two.sees(one, A)


@told(1, 2)
async def test_rubbish_is_counted_and_hurts_nobody(etcd, one, two):
    one.add("web", A)
    await two.sees(one, A)
    big = "x" * (1 << 20)
    for number in range(20):  # more than one answer may have
        etcd.ctl("put", f"/freeflow/containers/10.31.0.9/10.32.9.{number + 1}", input=big)
    etcd.ctl("put", f"/freeflow/hosts/{two.address}x", "{")
    etcd.ctl("put", "/freeflow/nonsense", "7")
    three = Host(etcd, 3)
    three.store.start()
    three.add("cache", C)
    await three.sees(one, A)
    await two.sees(three, C)
    assert len(three.store.status()["refused"]) == 16 and two.store.status()["connected"]
    await three.store.close()


def test_etcd_that_was_never_there_is_said_and_awaited(etcd, caplog):
    async def run():
        etcd.kill()
        host = Host(etcd, 1)
        host.store.start()
        host.add("web", A)
        await soon(lambda: host.store.status()["attempts"] >= 3)
        assert host.map.is_here(A) and not host.store.status()["connected"]
        assert [r.levelname for r in caplog.records if "no etcd" in r.message] == ["WARNING"], "once, not at each attempt"
        etcd.start()
        await soon(lambda: host.store.status()["connected"])
        await soon(lambda: "10.32.1.1" in etcd.ctl("get", "--prefix", "--keys-only", "/freeflow/"))
        await host.store.close()
        assert etcd.ctl("get", "--prefix", "--keys-only", "/freeflow/").strip() == ""
    asyncio.run(run())


@told(1)
async def test_thousands_of_addresses_arrive(etcd, one):
    two = Host(etcd, 2)
    many = [ip_address("10.40.0.0") + n for n in range(3000)]
    two.add("swarm", *many)
    two.store.start()
    await one.sees(two, *many, within_s=20)
    await two.store.close()
    await one.sees(None, *many)


def test_two_that_say_they_are_one_host_are_noticed(etcd, caplog):
    async def run():
        one, other = Host(etcd, 1), Host(etcd, 1)
        one.store.start()
        await soon(lambda: "/hosts/" in etcd.ctl("get", "--prefix", "--keys-only", "/freeflow/"))
        other.store.start()
        await soon(lambda: "another router" in caplog.text)
        await one.store.close()
        await other.store.close()
    asyncio.run(run())


@pytest.fixture
def guarded(tmp_path):
    """An etcd with TLS and users: root, and `rack` with the rights that docs/map.md gives host 10.31.0.1."""
    made = Etcd("https")
    (tmp_path / "password").write_text("secret\n")
    for words in ("user add root:top", "user grant-role root root", "user add rack:secret", "role add rack",
                  "role grant-permission rack --prefix=true read /freeflow/",
                  "role grant-permission rack readwrite /freeflow/hosts/10.31.0.1",
                  "role grant-permission rack --prefix=true readwrite /freeflow/containers/10.31.0.1/",
                  "user grant-role rack rack", "auth enable"):
        made.ctl(*words.split())
    yield made
    made.remove()


def test_tls_and_users(guarded, tmp_path, caplog):
    async def run():
        whole = {"ca": guarded.ca, "user": "rack", "password_file": str(tmp_path / "password")}
        host, stranger = Host(guarded, 1, **whole), Host(guarded, 2, **whole)
        without = [Host(guarded, 1, ca=guarded.ca), Host(guarded, 1, **whole | {"ca": None}),
                   Host(guarded, 1, **whole | {"user": "root"})]
        for each in (host, stranger, *without):
            each.add("web", A)
            each.store.start()
        await soon(lambda: host.store.status()["connected"])
        await soon(lambda: guarded.ctl("--user=root:top", "get", "--prefix", "--keys-only", "/freeflow/").split()
                   == [f"/freeflow/containers/{host.address}/{A}", f"/freeflow/hosts/{host.address}"])
        await soon(lambda: all(each.store.status()["attempts"] > 1 for each in (stranger, *without)))
        assert "permission denied" in stranger.store.status()["error"], "it may not speak for host 1's neighbour"
        assert not any(each.store.status()["connected"] for each in without)
        for each in (host, stranger, *without):
            await each.store.close()
    asyncio.run(run())


def test_an_etcd_of_several_members_may_lose_one(etcd):
    async def run():
        dead = Etcd()
        dead.kill()
        host = Host(etcd, 1, endpoints=[dead.url, etcd.url])
        host.store.start()
        await soon(lambda: host.store.status()["connected"])
        await host.store.close()
        dead.remove()
    asyncio.run(run())
