"""freeflow container add"""

import os

import click

from freeflow.cli.options import router_options
from freeflow.control import Control


@click.command("add")
@click.argument("container")
@click.option("--pid", type=click.IntRange(min=1), help="A process of the container, for its network namespace.")
@click.option("--netns", metavar="PATH", help="Its network namespace: /run/netns/NAME, /proc/PID/ns/net.")
@click.option("--address", "addresses", multiple=True, required=True, metavar="IP",
              help="An address that is the container's. Repeat it for more; the first makes GID 0.")
@click.option("--tenant", default="default", show_default=True, help="Whose it is.")
@router_options
def command(container, pid, netns, addresses, tenant, directory, name):
    """Let the programs of CONTAINER use the router under these addresses."""
    if (pid is None) == (netns is None):
        raise click.UsageError("Say where the container is: either --pid or --netns.")
    path = os.path.abspath(netns) if netns else f"/proc/{pid}/ns/net"
    with Control(directory, name) as router:
        router.call("container.add", name=container, netns=path, addresses=list(addresses), tenant=tenant)
