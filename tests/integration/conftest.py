"""What the tests of TCP mode share."""

import pytest
from installed import Installed
from tcp_net import network_with_broker, two_networks_with_brokers


@pytest.fixture(scope="session")
def installed():
    """FreeFlow's wheel in an environment of its own (support/installed.py: Installed)."""
    made = Installed()
    yield made
    made.remove()


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


@pytest.fixture(params=["tcp_net", "tcp_hosts"], ids=["one_host", "two_hosts"])
def net(request):
    """c1 and c2, on one host and then between two: the same addresses."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def accelerated(request):
    """How many connections were accelerated since the test began."""
    where = request.getfixturevalue("net" if "net" in request.fixturenames else "tcp_net")
    before = where.accelerated()
    return lambda: where.accelerated() - before
