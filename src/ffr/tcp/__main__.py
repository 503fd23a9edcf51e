"""The broker by itself, for tests and for hosts that want TCP mode without RDMA.

    python -m ffr.tcp SOCKET NETNS=ADDRESS[,ADDRESS...][@TENANT] ...

NETNS is a path such as /proc/PID/ns/net, TENANT a number (default 0). Prints "ready", and counters as JSON for each line it reads; ends with stdin.
"""

import ipaddress
import json
import os
import sys

from ffr.addresses import gid
from ffr.tcp.broker import Broker


def main(path, *containers):
    broker = Broker(path)
    for text in containers:
        netns, _, rest = text.partition("=")
        addresses, _, tenant = rest.partition("@")
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        broker.add_container(fd, [gid(ipaddress.ip_address(a)) for a in addresses.split(",")],
                             int(tenant or 0))
        os.close(fd)
    broker.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(broker.counters()), flush=True)
    broker.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
