"""Containers that mean harm, beside neighbours that notice nothing, and a router that is none the worse for it."""

import pytest

from health import Health, finish, run, start
from places import Router


@pytest.fixture(scope="module")
def shared_router():
    """One for all attacks: what one of them leaves behind would hurt the next."""
    router = Router()
    yield router
    router.remove()


@pytest.fixture
def health(shared_router):
    health = Health(shared_router)
    yield health
    health.check()


FORGER, SCRIBBLER, COMMANDER, PUNCHER, REVIVER = (1 << bit for bit in range(5))
DATA_PATH = FORGER | PUNCHER | REVIVER  # whose QPs are reset in peace, so that their WQEs are executed
COMMANDS = SCRIBBLER | COMMANDER


@pytest.mark.parametrize("kinds", [DATA_PATH, COMMANDS, DATA_PATH | COMMANDS], ids=["data path", "commands", "all"])
def test_a_scribbler_harms_nobody_else(shared_router, health, rng, kinds):
    neighbour = start(shared_router, "neighbour", "neighbour", HOSTILE_MS="2500")
    attack = start(shared_router, "hostile", "scribble", HOSTILE_MS="2000", HOSTILE_SEED=str(rng.getrandbits(48)), HOSTILE_KINDS=str(kinds),
                   HOSTILE_TARGET=neighbour.stdout.readline().strip())
    attack.communicate(timeout=50)  # how it ends is its own affair
    finish(neighbour, "neighbour")


@pytest.mark.parametrize("attack", ["shrinks_while_it_moves", "mixes_contexts", "hands_over_descriptors", "never_listens",
                                    "takes_everything"])
def test_one_weakness(shared_router, health, attack):
    neighbour = start(shared_router, "neighbour", "neighbour", HOSTILE_MS="1200")
    neighbour.stdout.readline()
    run(shared_router, "hostile", attack)
    finish(neighbour, "neighbour")


@pytest.mark.parametrize("attack", ["lies", "swaps_what_is_looked_at", "shrinks_what_is_copied_to", "maps_what_would_block",
                                    "takes_all_mappings", "dies_with_everything"])
def test_shared_memory(shared_router, health, attack):
    neighbour = start(shared_router, "neighbour", "neighbour", HOSTILE_MS="1200")
    neighbour.stdout.readline()
    run(shared_router, "hostile_shared", attack)
    finish(neighbour, "neighbour")


def test_theft(shared_router, health):
    run(shared_router, "hostile_theft", "takes_what_is_anothers")
