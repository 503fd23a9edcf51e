"""Two lab hosts on a wire, a container each, as the benchmarks between hosts have them."""

from contextlib import contextmanager

import pytest

from places import Lab


@contextmanager
def two_hosts(suffix, **plan):
    """The lab, which is the one that `freeflow lab exec` means meanwhile. suffix: of its name; plan: as model.Plan."""
    made = Lab(suffix, host_count=2, container_count=1, **plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREEFLOW_LAB", made.name)
        try:
            yield made
        finally:
            made.down()
