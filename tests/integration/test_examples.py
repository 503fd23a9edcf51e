"""The programs of examples/, each from end to end in containers."""

import re

import pytest

from api_programs import install_example
from freeflow.pair import run_pair


def both(lab, name, server_words, client_words, port):
    ends = run_pair([*install_example(lab, "h1c1", name), *server_words], [*install_example(lab, "h1c2", name), *client_words],
                    port)
    assert [end.status for end in ends] == [0, 0], "\n".join(map(str, ends))
    return ends


def test_key_value_store(lab):
    _, client = both(lab, "key_value.py", ["serve", "1"], ["bench", lab.plan.find("h1c1").address, "2000"], 7472)
    assert re.fullmatch(r"\d+ GETs/s one by one, \d+ in batches of 32\n", client.stdout)


@pytest.mark.parametrize("net", ["cnn", "rnn"])
@pytest.mark.parametrize("way", [[], ["--tcp"]], ids=["rdma", "tcp"])
def test_training_learns_the_same_on_all_workers(lab, net, way):
    hosts = [lab.plan.find(name).address for name in ("h1c1", "h1c2")]
    words = [["2", *hosts, "--net", net, "--steps", "150", *way]] * 2
    ends = both(lab, "all_reduce.py", ["0", *words[0]], ["1", *words[1]], 7473)
    found = [re.search(r"loss ([\d.]+) -> ([\d.]+), .* parameters (-?[\d.]+)", end.stdout) for end in ends]
    for one in found:
        assert float(one[2]) < float(one[1]) * 0.7
    assert found[0][3] == found[1][3]


@pytest.mark.parametrize("way", [[], ["--tcp"], ["--sort"], ["--sort", "--tcp"]], ids=" ".join)
def test_a_shuffle_brings_each_row_to_one_worker(lab, way):
    hosts = [lab.plan.find(name).address for name in ("h1c1", "h1c2")]
    ends = both(lab, "shuffle.py", ["0", "2", *hosts, "--rows", "50000", *way], ["1", "2", *hosts, "--rows", "50000", *way], 7474)
    rows = [int(re.search(r"(\d+) rows", end.stdout)[1]) for end in ends]
    assert sum(rows) == 100_000 and min(rows) > 30_000
    if "--sort" in way:
        (_, last), (first, _) = (re.search(r"keys (\d+) to (\d+)", end.stdout).groups() for end in ends)
        assert int(last) < int(first)
    else:
        found = [re.search(r"(\d+) groups, sum (\d+)", end.stdout) for end in ends]
        assert [sum(int(one[n]) for one in found) for n in (1, 2)] == [1000, 100_000]


def test_a_cache_in_another_machines_memory(lab):
    _, client = both(lab, "remote_cache.py", ["lend", "8", "1"], ["use", lab.plan.find("h1c1").address], 7475)
    assert re.match(r"5000 blocks, \d+ of them here, \d+ us for one that was there\n", client.stdout)
