"""What the tests of TCP mode share."""

import pytest
from tcp_net import network_with_broker


@pytest.fixture(scope="session")
def tcp_net():
    """Three containers on a bridge, and a broker (support/tcp_net.py: Net)."""
    with network_with_broker() as made:
        yield made


@pytest.fixture
def accelerated(tcp_net):
    """How many connections were accelerated since the test began."""
    before = tcp_net.accelerated()
    return lambda: tcp_net.accelerated() - before
