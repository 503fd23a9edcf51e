"""The broker by itself, for tests and for hosts that want TCP mode without RDMA.

    python -m ffr.tcp SOCKET NETNS=ADDRESS[,ADDRESS...][@TENANT] ...
    python -m ffr.tcp SOCKET NETNS=ADDRESS ... --own HOST --key FILE --at ADDRESS=OTHER_HOST ...

NETNS is a path such as /proc/PID/ns/net, TENANT a number (default 0). Prints "ready", and counters as JSON for each line
it reads; ends with stdin.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import sys

from ffr.network.addresses import gid
from ffr.tcp.broker import Broker
from ffr.tcp.fence import Fence
from ffr.tcp.hosts import Hosts


def main():
    options = parse()
    broker, fence = Broker(options.socket), Fence()
    for text in options.containers:
        netns, _, rest = text.partition("=")
        addresses, _, tenant = rest.partition("@")
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        broker.add_container(fd, [gid(ipaddress.ip_address(a)) for a in addresses.split(",")], int(tenant or 0))
        os.close(fd)
    asyncio.run(serve(broker, fence, options))
    broker.stop()
    fence.close()


def parse():
    parser = argparse.ArgumentParser(prog="python -m ffr.tcp", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("socket")
    parser.add_argument("containers", nargs="*")
    parser.add_argument("--own", type=ipaddress.ip_address)
    parser.add_argument("--key", type=argparse.FileType("rb"))
    parser.add_argument("--at", action="append", default=[])
    return parser.parse_args()


async def serve(broker, fence, options):
    hosts = Hosts(broker, fence)
    broker.start(fence)
    if options.own:
        hosts.set_key(options.key.read().strip())
        hosts.set_own(options.own)
        hosts.moved({ipaddress.ip_address(address): ipaddress.ip_address(host)
                     for address, _, host in (text.partition("=") for text in options.at)})
    hosts.start()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(broker.counters() | {"linked": list(hosts.status().values()),
                                              "fenced": fence.why_not is None}), flush=True)
    hosts.close()


if __name__ == "__main__":
    main()
