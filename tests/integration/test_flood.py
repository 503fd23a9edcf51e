"""Attacks on live routers, from the wire: floods, and packets that are forged as well as one can from there. Others go on
working, and no byte of theirs changes."""

import random
import subprocess
import sys
import time
import zlib

import pytest

from ffr.nic.roce.protocol import harness, wire
from freeflow.pair import Side
from freeflow.perftest import Perftest, gbit_per_s
from places import Lab
from programs import ROOT, SOURCES, program

PORT = 18517
SHARE = 0.15  # of the rate without a flood, which itself takes one of two cores; 0.4 and more are usual
TRIES = 3  # others may use the cores as well
FORGED = 2000  # of each kind
DEFAULT = zlib.crc32(b"default")  # tenant


@pytest.fixture(scope="module")
def hosts():
    """Three, so that the third is a peer of nobody."""
    made = Lab("-flood", host_count=3, container_count=2)
    yield made
    made.down()


@pytest.fixture(scope="module")
def flood(tmp_path_factory):
    built = tmp_path_factory.mktemp("flood") / "flood"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", built, SOURCES / "flood.c"], check=True)
    return built


def counters(lab, host="h1"):
    with lab.control(host) as router:
        return router.call("status")["roce"]["counters"]


def await_count(lab, name, least):
    """Strangers are heard at leisure."""
    deadline = time.monotonic() + 10
    while (found := counters(lab)[name]) < least:
        assert time.monotonic() < deadline, f"{name}: {found}, not {least}"
        time.sleep(0.05)


def rate(lab, client):
    return gbit_per_s(Perftest(lab.enter, "h1c1", client, timeout_s=40).run("ib_send_bw", "-D", "2").row)


@pytest.mark.parametrize("client", ["h1c2", "h2c1"])
@pytest.mark.parametrize("kind", ["garbage", "64", "1024"])
def test_a_flood_from_one_address_does_not_starve_others(hosts, flood, client, kind):
    alone, before, beside = rate(hosts, client), counters(hosts)["strangers"], []
    for _ in range(TRIES):
        with hosts.popen("h3", flood, hosts.plan.find("h1").address, "4", kind) as flooding:
            time.sleep(0.3)
            beside.append(rate(hosts, client))
            sent = int(flooding.communicate()[0])
        assert counters(hosts)["strangers"] > before and sent > 1_000_000
        if beside[-1] > SHARE * alone:
            return
    pytest.fail(f"{beside} of {alone:.2f} Gb/s")


def forge(lab, source, target, packets, good):
    """Sends packets to host `target`'s router from host `source`, as if its router did, with right ICRCs if `good`."""
    addresses = [lab.plan.find(host).address for host in (source, target)]
    script = ("import socket, struct, sys\n"
              "from ffcore import icrc\n"
              "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"  # the router has the port
              "one.setsockopt(0, 10, 2)\n"  # IP_MTU_DISCOVER, DO: identification 0
              f"one.bind(('{addresses[0]}', 0))\n"
              f"flow = icrc.Flow(*map(socket.inet_aton, {addresses!r}), 4791)\n"
              "for line in sys.stdin:\n"
              "    packet = bytes.fromhex(line)\n"
              f"    packet += {'flow.icrc(packet)' if good else 'bytes(4)'}\n"
              f"    one.sendto(struct.pack('!4H', 4791, 4791, 8 + len(packet), 0) + packet, ('{addresses[1]}', 0))\n")
    done = lab.exec(source, "env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-c", script,
                    input="".join(packet.hex() + "\n" for packet in packets))
    assert done.returncode == 0, done.stderr


def test_forged_packets_reach_no_memory(hosts):
    """To the queue pair of a program that looks at every byte that it gets: from elsewhere with everything right, from its
    peer's host with a wrong ICRC, from there with PSNs that are not expected, and again what it had before."""
    inside = {place: hosts.put(place, program("hosts_exchange")) for place in ("h1c1", "h2c1")}
    server = Side([*hosts.enter("h1c1"), inside["h1c1"], "serve", PORT, "rc"])
    server.wait_listening(PORT, 20)
    client = Side([*hosts.enter("h2c1"), inside["h2c1"], "connect", PORT, "rc", hosts.plan.find("h1c1").address, 6])
    deadline = time.monotonic() + 15
    while not (words := server.ended().stdout.split()) and time.monotonic() < deadline:
        time.sleep(0.1)
    qpn, psn, rkey, addr, peer_qpn = (int(word, 16) for word in words[:5])
    rng = random.Random(1)

    def write(**fields):
        return wire.emit({"opcode": wire.OPCODES["RC WRITE_ONLY"], "qpn": qpn, "pkey": harness.name(DEFAULT, DEFAULT, peer_qpn, qpn), "rkey": rkey, "addr": addr, "length": 64,
                          "payload": b"\xee" * 64, "ackreq": 1, **fields})

    anywhere = [write(psn=rng.getrandbits(24)) for _ in range(FORGED)]
    for source, packets, good, counter in (
            ("h3", anywhere, True, "strangers"),
            ("h2", anywhere, False, "bad_icrc"),
            ("h2", [write(psn=psn)] * FORGED, True, "duplicates"),  # its first PSN, long done: a replay
            ("h2", [write(psn=(psn + (1 << 22) + n) & 0xFFFFFF) for n in range(FORGED)], True, "out_of_sequence")):
        before = counters(hosts)[counter]
        forge(hosts, source, "h1", packets, good)
        await_count(hosts, counter, before + FORGED * 0.99)  # a wrong ICRC passes once in 32768, as of some identification
    ended = client.wait(40), server.wait(10)
    assert [end.status for end in ended] == [0, 0], f"{ended[0]}\n{ended[1]}"
    assert int(ended[0].stdout) == int(ended[1].stdout.split()[-1]) > 0


def test_packets_of_every_opcode_from_a_router(hosts, seed):
    """With right ICRCs, from another router's host, to any QPN: with GRHs, selective NAKs and marks that make no sense."""
    rng = random.Random(f"{seed}:opcodes")
    packets = []
    for _ in range(FORGED):
        name, opcode = rng.choice(list(wire.OPCODES.items()))
        packet = wire.emit({"opcode": opcode, "qpn": rng.getrandbits(24), "psn": rng.getrandbits(24), "rkey": rng.getrandbits(32),
                            "addr": rng.getrandbits(64), "length": rng.getrandbits(32), "qkey": 0x11111111,
                            "src_qpn": rng.getrandbits(24), "syndrome": rng.getrandbits(8), "grh": rng.randbytes(40),
                            "payload": rng.randbytes(4 * rng.randrange(1, 200)) if "SEND" in name or "WRITE" in name else b""})
        packets.append(packet[:rng.choice([len(packet)] * 9 + [4 * rng.randrange(3, len(packet) // 4 + 1)])])
    before = counters(hosts)["strangers"]
    forge(hosts, "h2", "h1", packets, good=True)
    await_count(hosts, "strangers", before + FORGED // 2)
    assert rate(hosts, "h2c1") > 0, "and the router lives"
