"""The lab and the guest beside it, made once for all of `make interop`."""

import pytest

from guest import Guest
from places import Lab

GUEST, CONTROL = "10.32.200.1", "10.31.0.200"


@pytest.fixture(scope="session")
def lab():
    made = Lab("-interop", container_count=1)
    yield made
    made.down()


@pytest.fixture(scope="session")
def guest(lab):
    """On the overlay, where the container h1c1 sees it as 10.32.200.1."""
    made = Guest(lab.plan.hosts[0].netns_path, "overlay", f"{GUEST}/16", f"{CONTROL}/24", lab.plan.overlay_mtu)
    yield made
    made.remove()
