"""rdma-core's own Python tests: as many pass as ever did, none fails (`make conformance` shows the table)."""

import pytest

import conformance
from freeflow.control import Control
from freeflow.lab.model import ROUTER_NAME
from places import Lab

LOG = """\
test_plain (tests.test_cq.CQTest.test_plain) ... ok
test_described (tests.test_cq.CQTest.test_described)
What it is about. ... ok
test_absent (tests.test_cq.CQTest.test_absent) ... skipped 'No such thing'
setUpClass (tests.test_dm.DMTest) ... skipped "It's not there"
test_noisy (tests.test_cq.CQTest.test_noisy) ... libfreeflow: a word of warning
ERROR
"""
TRACEBACKS = """
======================================================================
ERROR: test_noisy (tests.test_cq.CQTest.test_noisy)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "x.py", line 1, in f
pyverbs.pyverbs_error.PyverbsRDMAError: Failed. Errno: 22, Invalid argument

----------------------------------------------------------------------
Ran 4 tests in 0.1s
"""


def test_what_unittest_prints_is_understood():
    outcomes, running = conformance.read_log(LOG + TRACEBACKS)
    assert running is None
    assert {name.rpartition(".")[2]: (outcome.state, outcome.reason) for name, outcome in outcomes.items()} == {
        "test_plain": ("passed", ""), "test_described": ("passed", ""), "test_absent": ("skipped", "No such thing"),
        "DMTest": ("skipped", "It's not there"),
        "test_noisy": ("failed", "pyverbs.pyverbs_error.PyverbsRDMAError: Failed. Errno: 22, Invalid argument")}


def test_a_test_that_took_its_process_along_is_known():
    outcomes, running = conformance.read_log(LOG + "test_deadly (tests.test_cq.CQTest.test_deadly) ... ")
    assert running == "tests.test_cq.CQTest.test_deadly" and len(outcomes) == 5


@pytest.fixture
def packets():
    """A host whose containers talk in packets, as those of two hosts do. The tests have both their ends in one process, so
    this is how they are run over the wire."""
    made = Lab("-packets", host_count=1, container_count=1, nic="roce")
    yield made
    made.down()


def sent(lab):
    with Control(str(lab.plan.find("h1").router_directory), ROUTER_NAME) as router:
        return router.call("status")["roce"]["counters"]["packets_sent"]


@pytest.mark.timeout(conformance.RUN_S_MAX + 60)
def test_rdma_core_tests(lab):
    judge(conformance.run(lab, "h1c1"))


@pytest.mark.timeout(conformance.RUN_S_MAX + 60)
def test_rdma_core_tests_over_the_wire(packets):
    judge(conformance.run(packets, "h1c1"))
    assert sent(packets) > 1000


def judge(results):
    wrong = conformance.verdict(results)
    assert wrong is None, "\n".join([wrong, *conformance.reasons(results, "failed"), "Skipped:",
                                     *conformance.reasons(results, "skipped")])
