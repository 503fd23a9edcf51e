"""Many programs at once, and programs that want much: one channel for each connection, a job's processes in one second."""

import resource

import pytest

from programs import program


@pytest.mark.parametrize("count", [150, 400])
def test_processes_that_open_the_device_at_once_all_get_it(router, count):
    """The router admits 128 at once and 100 a second; the library waits for its turn."""
    done = router.run(program("burst"), str(count))
    opened, slowest_ms = map(int, done.stdout.split())
    assert (opened, done.stderr) == (count, "")
    assert slowest_ms < 10_000


def test_one_channel_for_each_connection(shared_router):
    done = shared_router.run(program("channels"), "an_event_through_each", env=shared_router.environment(COUNT="200"))
    assert done.stdout == "ok an_event_through_each\n", done.stdout + done.stderr


def test_contexts(shared_router):
    done = shared_router.run(program("channels"), "contexts", env=shared_router.environment(COUNT="200"))
    assert done.stdout == "ok contexts\n", done.stdout + done.stderr


def test_a_program_s_own_descriptors_are_its_limit(shared_router):
    """The router's are not used up by it: the error is the program's, and others go on."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    done = shared_router.run(program("channels"), "contexts", env=shared_router.environment(COUNT="200"), preexec_fn=few)
    assert "not ok contexts" in done.stdout and "Too many open files" in done.stdout, done.stdout + done.stderr
    assert shared_router.run(program("burst"), "1").stdout.startswith("1 ")
