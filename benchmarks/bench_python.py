"""freeflow.rdma beside perftest, asyncio's TCP, Redis and the same examples over TCP."""

import re
from pathlib import Path

import pytest

from api_programs import PORT, install_script
from benchmarks.hosts import two_hosts
from benchmarks.report import medians
from freeflow.pair import run_pair
from freeflow.perftest import gbit_per_s, typical_us

ROUNDS = 5
ROOT = Path(__file__).resolve().parent.parent
COMMAND = "make bench ARGS='-k python'"
SIZES = {"64 KB": 65536, "1 MB": 1 << 20}
REDIS_PORT = 6399


def ends(lab, script, server, client, port=PORT, clients_host="h1c2", plain=False):
    words = [install_script(lab, place, ROOT / script, plain) for place in ("h1c1", clients_host)]
    ended = run_pair([*words[0], *server], [*words[1], *client], port)
    assert [end.status for end in ended] == [0, 0], "\n".join(map(str, ended))
    return ended


def ours(lab, what, *more):
    address = lab.plan.find("h1c1").address
    return float(ends(lab, "benchmarks/programs/python_ends.py", ["server", what], ["client", what, address, *more])[1].stdout)


@pytest.mark.parametrize("name", SIZES)
def test_python_writes(figure, measured, perftest, lab, name):
    size = SIZES[name]
    samples = measured(ROUNDS, ours=lambda: ours(lab, "write", str(size)),
                       perftest=lambda: gbit_per_s(perftest.run("ib_write_bw", "-s", size, "-n", (6 << 30) // size).row))
    middle = medians(samples)
    figure(f"write {name} from Python / ib_write_bw", middle["ours"] / middle["perftest"], "×", 0.95, at_least=True,
           basis=f"{middle['ours']:.0f} / {middle['perftest']:.0f} Gb/s", command=COMMAND, samples=samples)


def test_python_ping_pong(figure, measured, perftest, lab):
    samples = measured(ROUNDS, ours=lambda: ours(lab, "pingpong"),
                       perftest=lambda: typical_us(perftest.run("ib_send_lat", "-s", "64", "-n", "5000").row),
                       aio=lambda: ours(lab, "aio"), tcp=lambda: ours(lab, "aio_tcp"))
    middle = medians(samples)
    figure("64 B ping-pong from Python, blocking / ib_send_lat", middle["ours"] / middle["perftest"], "×", 2.0,
           basis=f"{middle['ours']:.2f} / {middle['perftest']:.2f} µs one way", command=COMMAND, samples=samples)
    figure("64 B ping-pong, asyncio / asyncio over TCP", middle["aio"] / middle["tcp"], "×", 0.3,
           basis=f"{middle['aio']:.1f} / {middle['tcp']:.1f} µs one way, the same containers", command=COMMAND, samples=samples)


def test_python_rows(figure, measured, lab):
    samples = measured(ROUNDS, ours=lambda: ours(lab, "rows"))
    figure("64 B writes from Python, by row numbers", medians(samples)["ours"], "million/s", 2, at_least=True, command=COMMAND,
           basis="median of five runs", samples=samples)


def gets(lab):
    address = lab.plan.find("h1c1").address
    said = ends(lab, "examples/key_value.py", ["serve", "1"], ["bench", address, "20000"], 7472)[1].stdout
    return [float(number) for number in re.findall(r"(\d+) (?:GETs|in batches)", said)]


def redis(lab, pipeline):
    server, client = lab.words("h1c1", mode="plain"), lab.words("h1c2", mode="plain")
    address = lab.plan.find("h1c1").address
    _, ended = run_pair([*server, "redis-server", "--port", REDIS_PORT, "--save", "", "--protected-mode", "no", "--bind", address],
                        [*client, "redis-benchmark", "-h", address, "-p", REDIS_PORT, "-c", "1", "-P", pipeline, "-t", "get",
                         "-n", 20000 * pipeline // 2, "--csv"], REDIS_PORT, timeout_s=90, server_stays=True)
    return float(re.search(r'"GET","([\d.]+)"', ended.stdout)[1])


def test_python_key_value_store(figure, measured, lab):
    samples = measured(3, ours=lambda: gets(lab), one=lambda: redis(lab, 1), many=lambda: redis(lab, 32))
    one, many = (sorted(sample[n] for sample in samples["ours"])[1] for n in (0, 1))
    middle = medians({name: samples[name] for name in ("one", "many")})
    figure("GETs of examples/key_value.py, one client / Redis over TCP", one / middle["one"], "×", 10, at_least=True,
           basis=f"{one:.0f} / {middle['one']:.0f} a second", command=COMMAND, samples=samples)
    figure("... in batches of 32 / redis-benchmark -P 32", many / middle["many"], "×", 3, at_least=True,
           basis=f"{many:.0f} / {middle['many']:.0f} a second", command=COMMAND, samples=samples)


@pytest.fixture(scope="module")
def two():
    with two_hosts("-python", overlay="vxlan") as made:
        yield made


def communication(lab, script, port, pattern, *options):
    """The slower worker's time of communication."""
    hosts = [lab.plan.find(name).address for name in ("h1c1", "h2c1")]
    ended = ends(lab, script, ["0", "2", *hosts, *options], ["1", "2", *hosts, *options], port, "h2c1", "--tcp" in options)
    return max(float(re.search(pattern, end.stdout)[1]) for end in ended)


@pytest.mark.parametrize("net", ["cnn", "rnn"])
def test_python_training(figure, measured, two, net):
    def step(*way):
        return communication(two, "examples/all_reduce.py", 7473, r"([\d.]+) us of communication", "--net", net, "--steps", "200", *way)

    middle = medians(samples := measured(ROUNDS, ours=step, tcp=lambda: step("--tcp")))
    figure(f"two hosts: a training step's communication ({net}) over TCP / over RDMA", middle["tcp"] / middle["ours"], "×", 1.5,
           at_least=True, basis=f"{middle['tcp']:.0f} / {middle['ours']:.0f} µs, TCP over the overlay", command=COMMAND, samples=samples)


@pytest.mark.parametrize("way", ["group-by", "sort"])
def test_python_shuffle(figure, measured, two, way):
    def shuffle(*more):
        options = [*(["--sort"] if way == "sort" else []), "--rows", "1000000", *more]
        return communication(two, "examples/shuffle.py", 7474, r"([\d.]+) ms of shuffle", *options)

    middle = medians(samples := measured(ROUNDS, ours=shuffle, tcp=lambda: shuffle("--tcp")))
    figure(f"two hosts: a shuffle of 32 MB ({way}) over TCP / over RDMA", middle["tcp"] / middle["ours"], "×", 1.5, at_least=True,
           basis=f"{middle['tcp']:.1f} / {middle['ours']:.1f} ms, TCP over the overlay", command=COMMAND, samples=samples)
