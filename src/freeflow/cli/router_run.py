"""freeflow router"""

import os
import shlex
import sys

import click

from ffcore.nics import LINKS, NICS
from ffcore.polling import MODES
from freeflow.cli.options import router_options


@click.command("router", short_help="Run this host's router in the foreground.")
@router_options
@click.option("--polling", type=click.Choice(MODES), default=MODES[0], show_default=True)
@click.option("--policy", metavar="FILE", help="What sessions and tenants may use and reach, as TOML (docs/operations.md, docs/tenants.md). "
                                             "Without it the one that etcd has counts, if it has one.")
@click.option("--state", metavar="DIR", help="What is to outlive it: the last policy that etcd had. Default: /var/lib/freeflow.")
@click.option("--etcd", metavar="URL[,URL]", help="The etcd by which hosts find each other's containers.")
@click.option("--address", metavar="IP", help="This host's among them; needed where it has several and none leads to etcd.")
@click.option("--hosts", metavar="FILE", help="In place of --etcd: the map written down, or etcd with TLS and users, as "
                                              "TOML (docs/map.md).")
@click.option("--key", metavar="FILE", help="The hosts' common secret: TCP mode between hosts and --link stream need one "
                                           "(docs/tcp-mode.md).")
@click.option("--nic", type=click.Choice(NICS), default=NICS[0], show_default=True,
              help="What containers are reached by. auto: in memory on this host, by RoCEv2 on others; local: this host's "
                   "alone; roce: by packets on this host too, for tests.")
@click.option("--link", type=click.Choice(LINKS), default=LINKS[0], show_default=True,
              help="What carries connections to other hosts. udp: RoCEv2 packets. stream: the same in frames over TCP, between "
                   "routers that have one --key, and never otherwise (docs/roce.md).")
@click.option("--userfaultfd", type=click.Choice(["auto", "off"]), default="auto", show_default=True,
              help="auto: programs get a descriptor of /dev/userfaultfd where the router can open it, and register memory "
                   "without stopping their threads. off: their threads are stopped for a moment (docs/design-memory.md says "
                   "what is handed out).")
def command(directory, name, polling, policy, state, etcd, address, hosts, key, nic, link, userfaultfd):
    """Run this host's router in the foreground, until SIGTERM or SIGINT.

    Alone, it serves the containers of this host. With --etcd or --hosts they reach those of other hosts: each runs a
    router, and the map says which container is where.
    """
    arguments = [sys.executable, "-m", "ffr.control.daemon", "--polling", polling, "--nic", nic, "--link", link, "--userfaultfd", userfaultfd,
                 "--device-files", shlex.join([sys.executable, "-m", "freeflow.device_show"])]
    if directory:
        arguments += ["--dir", directory]
    if name:
        arguments += ["--name", name]
    if policy:
        arguments += ["--policy", policy]
    if state:
        arguments += ["--state", state]
    if hosts:
        arguments += ["--hosts", hosts]
    if etcd:
        arguments += ["--etcd", etcd]
    if address:
        arguments += ["--address", address]
    if key:
        arguments += ["--key", key]
    os.execv(sys.executable, arguments)  # the router is one process, under the pid that its starter knows
