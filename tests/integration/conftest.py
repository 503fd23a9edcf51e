"""What the tests of TCP mode share."""

import pytest
from tcp_net import network_with_broker, two_networks_with_brokers


@pytest.fixture(scope="session")
def tcp_net():
    """Three containers on a bridge, and a broker (support/tcp_net.py: Net)."""
    with network_with_broker() as made:
        yield made


@pytest.fixture(scope="session")
def tcp_hosts():
    """A container on each of two hosts, and their brokers (support/tcp_net.py: TwoHosts)."""
    with two_networks_with_brokers() as made:
        yield made


@pytest.fixture
def accelerated(tcp_net):
    """How many connections were accelerated since the test began."""
    before = tcp_net.accelerated()
    return lambda: tcp_net.accelerated() - before
