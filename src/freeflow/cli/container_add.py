"""freeflow container add"""

import os

import click

from freeflow.cli.options import router_options
from freeflow.control import Control
from freeflow.launch import router_at


@click.command("add", short_help="Let a container's programs use the router.")
@click.argument("container")
@click.option("--pid", type=click.IntRange(min=1), help="A process of the container, for its network namespace.")
@click.option("--netns", metavar="PATH", help="Its network namespace: /run/netns/NAME, /proc/PID/ns/net.")
@click.option("--address", "addresses", multiple=True, required=True, metavar="IP",
              help="An address that is the container's. Repeat it for more; the first makes GID 0.")
@click.option("--allow", "allowed", multiple=True, metavar="NETWORK",
              help="Addresses of this network are the container's too while one of its interfaces has them and nobody else"
                   " does. Repeat it for more.")
@click.option("--tenant", default="default", show_default=True, help="Whose it is.")
@click.option("--files/--no-files", default=True, show_default=True,
              help="With --pid: mount /sys/class/infiniband and /dev/infiniband in the container.")
@router_options
def command(container, pid, netns, addresses, allowed, tenant, files, directory, name):
    """Let the programs of CONTAINER use the router under these addresses.

    Programs find an address while the container has it: one that an interface had and has no more is not found until it
    is back. An address that no interface of the container ever had counts as registered.
    """
    if (pid is None) == (netns is None):
        raise click.UsageError("Say where the container is: either --pid or --netns.")
    path = os.path.abspath(netns) if netns else f"/proc/{pid}/ns/net"
    with_files = {"pid": pid} if pid and files and os.geteuid() == 0 else {}
    with Control(directory, name) as router:
        router.call("container.add", name=container, netns=path, addresses=list(addresses), tenant=tenant,
                    allow=list(allowed), **with_files)
    if with_files:
        from freeflow import device_show
        if why := device_show.show(pid, router_at(directory, name)):
            click.echo(f"freeflow: {container} is registered; it has no /sys/class/infiniband: {why}", err=True)
