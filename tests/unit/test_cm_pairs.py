"""Pairs that connect by rdma_cm, with shell commands as server and client."""

from types import SimpleNamespace

import cm_pairs
import pytest
from cm_pairs import Pair

ONE_EACH = "echo >> {folder}/servers; while [ ! -e {folder}/told-$(wc -l < {folder}/servers) ]; do sleep 0.01; done"
PARTLY_REFUSED = "n=$(wc -l < {folder}/servers); [ $n -ge 3 ] && touch {folder}/told-$n || {{ echo UNREACHABLE; exit 1; }}"


@pytest.fixture
def anywhere(monkeypatch):
    monkeypatch.setattr(cm_pairs, "LISTEN_S", (0.2, 0.3, 0.5, 1))
    monkeypatch.setattr(cm_pairs, "LAST_S", 10.0)
    return SimpleNamespace(words=lambda _, *words: ["sh", "-c", " ".join(words)], variables=lambda: None,
                           plan=SimpleNamespace(find=lambda _: SimpleNamespace(address="")))


def test_a_refused_client_has_a_new_server_the_next_time(anywhere, tmp_path):
    """The first two servers have served somebody who is gone, and end by nothing that a later client does."""
    below, above = cm_pairs.check(anywhere, Pair(ONE_EACH.replace("{folder}", str(tmp_path)), PARTLY_REFUSED.replace("{folder}", str(tmp_path))))
    assert (tmp_path / "servers").read_text() == "\n" * 3
    assert (below.status, above.status) == (0, 0)


def test_who_is_always_refused_is_told_so(anywhere):
    below, above = cm_pairs.run(anywhere, Pair("exec sleep 100", "echo UNREACHABLE; exit 1"))
    assert below.status < 0 and above.status == 1


def test_another_failure_is_not_tried_again(anywhere, tmp_path):
    _, above = cm_pairs.run(anywhere, Pair("exec sleep 100", f"echo >> {tmp_path}/clients; exit 3", stays=True))
    assert above.status == 3 and (tmp_path / "clients").read_text() == "\n"
