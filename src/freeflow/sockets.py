"""TCP between the same two containers, to compare with: sockperf's ping-pong and one iperf3 stream, without FreeFlow."""

import json
import re
import subprocess
from dataclasses import dataclass

from freeflow.pair import PairError, run_pair

SOCKPERF_PORT = 11111
IPERF_PORT = 5201

# Asks the kernel about an interface: ETHTOOL_GGSO through SIOCETHTOOL. Run inside, by a Python without packages.
GSO_PROGRAM = """
import array, fcntl, socket, struct
value = array.array('B', struct.pack('II', 0x23, 0))
with socket.socket() as s:
    request = struct.pack('16sP', b'eth0', value.buffer_info()[0])
    fcntl.ioctl(s, 0x8946, request)
print(struct.unpack('II', value)[1])
"""


@dataclass(frozen=True)
class Tcp:
    """How TCP is set up where it was measured: without these two a TCP figure means nothing."""

    congestion_control: str
    gso: str

    def __str__(self):
        return f"{self.congestion_control}, GSO {self.gso}"


def describe(words):
    """Congestion control and GSO inside. `words`: what runs a command there."""
    def said(*command):
        done = subprocess.run([*words, *command], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    route = re.search(r"congctl (\w+)", said("ip", "route", "show", "dev", "eth0"))  # goes before the default
    default = said("cat", "/proc/sys/net/ipv4/tcp_congestion_control")
    gso = said("/usr/bin/python3", "-c", GSO_PROGRAM)
    return Tcp(route[1] if route else default or "unknown",
               {"1": "on", "0": "off"}.get(gso, "unknown"))


def one_way_us(server, client, address, message=64, seconds=2):
    """sockperf's TCP ping-pong: half a round trip, at the median.

    server, client: words that run a command there; address: the server's, for sockperf resolves no names.
    """
    shared = ["--tcp", "-p", SOCKPERF_PORT]
    _, ended = run_pair([*server, "sockperf", "server", *shared],
                        [*client, "sockperf", "ping-pong", *shared, "-i", address, "-m", message, "-t", seconds],
                        SOCKPERF_PORT, timeout_s=seconds + 20, server_stays=True)
    return found(r"percentile 50\.000 =\s*([0-9.]+)", ended)


def gbit_per_s(server, client, address, seconds=2):
    """One iperf3 stream from client to server, as received."""
    _, ended = run_pair([*server, "iperf3", "-s", "-1", "-p", IPERF_PORT],
                        [*client, "iperf3", "-c", address, "-p", IPERF_PORT, "-t", seconds, "-J"], IPERF_PORT,
                        timeout_s=seconds + 20)
    try:
        return json.loads(ended.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
    except (ValueError, KeyError):
        raise PairError(f"iperf3 printed no result\n{ended}") from None


def found(pattern, ended):
    match = re.search(pattern, ended.stdout)
    if ended.status != 0 or not match:
        raise PairError(f"no figure in this:\n{ended}")
    return float(match[1])
