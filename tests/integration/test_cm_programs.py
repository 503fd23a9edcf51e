"""The programs of rdma-core that connect by rdma_cm, unmodified: on one host and between two."""

from pathlib import Path

import pytest
from cm_pairs import Pair, check, run_afresh
from freeflow.pair import Side
from places import Lab

PAIRS = {
    "rping": Pair("rping -s -a {address} -v -C 10", "rping -c -a {address} -v -C 10"),
    "rping-wildcard": Pair("rping -s -a 0.0.0.0 -v -C 10", "rping -c -a {address} -v -C 10"),
    "rping-persistent": Pair("rping -s -P -v -C 10", "rping -c -a {address} -C 10", stays=True),
    "rping-port": Pair("rping -s -p 9000 -C 10 -S 4096", "rping -c -a {address} -p 9000 -C 10 -S 4096"),
    "ucmatose": Pair("ucmatose", "ucmatose -s {address}"),
    "ucmatose-many": Pair("ucmatose -c 50 -C 5", "ucmatose -s {address} -c 50 -C 5"),
    "ucmatose-migrate": Pair("ucmatose -m", "ucmatose -m -s {address}"),
    "udaddy": Pair("udaddy", "udaddy -s {address}"),
    "udaddy-many": Pair("udaddy -c 20 -C 5", "udaddy -s {address} -c 20 -C 5"),
    "rdma_client": Pair("rdma_server", "rdma_client -s {address}"),
    "rdma_xclient": Pair("rdma_xserver", "rdma_xclient -s {address}"),
    "rdma_xclient-xrc": Pair("rdma_xserver -c x", "rdma_xclient -s {address} -c x"),
    "cmtime": Pair("cmtime", "cmtime -s {address} -c 50", stays=True),
    "rstream": Pair("rstream -S 1024 -I 50 -C 20", "rstream -s {address} -S 1024 -I 50 -C 20"),
    "rstream-64K": Pair("rstream -S 65536 -I 20 -C 5", "rstream -s {address} -S 65536 -I 20 -C 5"),
    "rstream-blocking": Pair("rstream -T b -S 64 -I 20 -C 20", "rstream -s {address} -T b -S 64 -I 20 -C 20"),
    "riostream": Pair("riostream -S 1024 -I 50 -C 20", "riostream -s {address} -S 1024 -I 50 -C 20"),
}


# perftest over rdma_cm, and (-z) with its data alone so.
PERFTEST = ["ib_send_bw -R", "ib_write_bw -R -q 4", "ib_read_lat -R", "ib_atomic_bw -R", "ib_send_lat -R -c UD -s 64", "ib_send_bw -z"]


@pytest.fixture(scope="module")
def two_hosts():
    made = Lab("-cm", host_count=2, container_count=1)
    yield made
    made.down()


@pytest.mark.parametrize("name", PAIRS)
def test_on_one_host(lab, name):
    check(lab, PAIRS[name])


@pytest.mark.parametrize("name", PAIRS)
def test_between_hosts(two_hosts, name):
    check(two_hosts, PAIRS[name], server="h1c1", client="h2c1")


@pytest.mark.parametrize("words", PERFTEST)
@pytest.mark.parametrize("client", ["h1c2", "h2c1"], ids=["one_host", "two_hosts"])
def test_perftest(lab, two_hosts, client, words):
    pair = Pair(f"{words} -F -n 200", f"{words} -F -n 200 {{address}}")
    where = two_hosts if client == "h2c1" else lab
    below, above = run_afresh(where, pair, "h1c1", client)
    assert (below.status, above.status) == (0, 0), f"{below}\n{above}"
    assert "#bytes" in above.stdout


def test_within_a_container(lab):
    check(lab, PAIRS["rping"], server="h1c1", client="h1c1")
    check(lab, Pair("rping -s -a 127.0.0.1 -v -C 10", "rping -c -a 127.0.0.1 -v -C 10"), server="h1c1", client="h1c1")


def test_containers_see_each_others_addresses(lab):
    below, _ = check(lab, Pair("rping -s -a {address} -C 2 -d", "rping -c -a {address} -C 2 -d"))
    assert "accepting client connection request" in below.stdout + below.stderr


def test_port_spaces_are_each_containers_own(lab):
    """Three listeners at one port, one in each container."""
    check(lab, PAIRS["rping-wildcard"], server="h1c1", client="h1c2")
    check(lab, PAIRS["rping-wildcard"], server="h1c2", client="h1c3")
    check(lab, PAIRS["rping-wildcard"], server="h1c3", client="h1c1")


def test_nobody_listens(lab):
    done = lab.exec("h1c2", "rping", "-c", "-a", lab.plan.find("h1c1").address, "-C", "1")
    assert done.returncode != 0


def test_rcopy(lab):
    """A file of some megabytes, through rsockets."""
    done = lab.exec("h1c2", "sh", "-c", "head -c 5000000 /dev/urandom > $HOME/rcopy.in && sha256sum < $HOME/rcopy.in")
    assert done.returncode == 0, done
    home = lab.exec("h1c1", "sh", "-c", "echo $HOME").stdout.strip()
    check(lab, Pair("rcopy", f"rcopy {home}/rcopy.in {{address}}:{home}/rcopy.out", stays=True))
    copied = lab.exec("h1c1", "sh", "-c", "sha256sum < $HOME/rcopy.out")
    assert copied.stdout == done.stdout, copied


def test_sockets_by_preload(lab):
    """A program of ordinary sockets, over rsockets."""
    preload = next(Path("/usr/lib").glob("*/rsocket/librspreload.so"))
    words = f"env LD_PRELOAD={preload} NPtcp -u 4096 -n 20 -o /dev/null"
    _, above = check(lab, Pair(words, words + " -h {address}"))
    assert "Mbps" in above.stdout + above.stderr


def test_mckey(lab):
    """Its sender joins the group too, posts no receives, and ends as soon as it has posted: nothing may wait for it there."""
    group = "mckey -m 239.1.1.1 -C 5"
    for _ in range(3):
        receiver = Side(lab.words("h1c1", *group.split()), lab.variables())
        try:
            sent = lab.exec("h1c2", *group.split(), "-s")
            received = receiver.wait(10)
        finally:
            receiver.stop()
        assert sent.returncode == 0 and received.status == 0, f"{sent}\n{received}"
