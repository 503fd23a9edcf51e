"""The seed that random tests draw from is the run's, and each test draws for itself."""

import random


def test_draws_follow_from_the_seed_and_the_test_alone(request, seed, rng):
    again = random.Random(f"{seed}:{request.node.nodeid}")
    assert [rng.random() for _ in range(8)] == [again.random() for _ in range(8)]
