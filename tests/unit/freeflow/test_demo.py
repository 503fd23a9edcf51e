"""The demo's table."""

import pytest

from freeflow.demo import two_digits


@pytest.mark.parametrize("ratio, shown", [(27.03, "27.0"), (1.0, "1.0"), (0.0834, "0.083"), (0.0138, "0.014")])
def test_a_ratio_far_below_one_is_not_shown_as_none(ratio, shown):
    assert two_digits(ratio) == shown
