"""freeflow container address"""

import click

from freeflow.cli.options import router_options
from freeflow.control import Control


@click.command("address", short_help="Give a container other addresses.")
@click.argument("container")
@click.argument("addresses", nargs=-1, required=True, metavar="IP...")
@router_options
def command(container, addresses, directory, name):
    """Give CONTAINER these addresses instead of those that it had; the first makes GID 0.

    Its programs' GID tables follow at once, and an event (IBV_EVENT_GID_CHANGE) tells them. Connections that exist stay.
    """
    with Control(directory, name) as router:
        router.call("container.addresses", name=container, addresses=list(addresses))
