"""rdma-core's own Python tests: as many pass as ever did, none fails (`make conformance` shows the table)."""

import pytest

import conformance

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


@pytest.mark.timeout(conformance.RUN_S_MAX + 60)
def test_rdma_core_tests(lab):
    results = conformance.run(lab, "h1c1")
    wrong = conformance.verdict(results)
    assert wrong is None, "\n".join([wrong, *conformance.reasons(results, "failed"), "Skipped:",
                                     *conformance.reasons(results, "skipped")])
