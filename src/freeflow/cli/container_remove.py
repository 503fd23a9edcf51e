"""freeflow container remove"""

import click

from freeflow.cli.options import router_options
from freeflow.control import Control


@click.command("remove")
@click.argument("container")
@router_options
def command(container, directory, name):
    """Take CONTAINER's addresses back, and end its sessions."""
    with Control(directory, name) as router:
        router.call("container.remove", name=container)
