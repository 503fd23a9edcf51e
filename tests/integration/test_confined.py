"""What programs of the field bring along: sandboxes, locked memory, headers that are newer than ours, and another NIC's GID index."""

import pytest

from programs import cases, names_in, program, run_case


@pytest.mark.parametrize("source, name", cases("newer"))
def test_newer_verbs(shared_router, source, name):
    run_case(shared_router, source, name)


def test_the_data_path_needs_what_a_kernel_s_device_needs(shared_router):
    """read, write, poll and futex; sched_yield, where more programs poll than there are cores."""
    run_case(shared_router, "confined", "read_write_poll_futex")


def test_memory_that_is_locked_as_it_is_mapped(shared_router):
    """mlockall(MCL_FUTURE) and 8 MiB to lock: the rings are larger, and need not be locked."""
    run_case(shared_router, "confined", "locked")


@pytest.mark.parametrize("name, verb", [("connecting", "ibv_modify_qp"), ("addressing", "ibv_create_ah")])
def test_a_gid_index_of_another_nic_s_is_named_at_once(shared_router, name, verb):
    """1 and 3 are what people write into their configurations."""
    done = shared_router.run(program("gid_index"), name)
    assert done.stdout == f"ok {name}\n", done.stdout + done.stderr
    assert done.stderr.splitlines()[0].startswith(f"freeflow: {verb}: GID index 15 is not in use here: take 0 ("), done.stderr


CHECKED = ["rc_transfer", "rc_events", "queue_wr", "queue_poll", "srq_share", "ud_transfer", "mr_change", "mw_bind", "import_share",
           "xrc_transfer", "newer_verbs"]


@pytest.mark.parametrize("source", CHECKED)
def test_memcheck_finds_nothing(shared_router, source):
    """valgrind's, in the program and the processes that it makes; registered memory may never have been written."""
    name = names_in(source)[0]
    done = shared_router.run("valgrind", "-q", "--error-exitcode=9", program(source), name)
    assert (done.stdout, done.stderr) == (f"ok {name}\n", "")
