"""freeflow polling"""

import click

from ffcore.polling import MODES
from freeflow.cli.options import router_options
from freeflow.control import Control


@click.command("polling", short_help="Set how the router looks for work.")
@click.argument("mode", type=click.Choice(MODES))
@router_options
def command(mode, directory, name):
    """How the router looks for work: adaptive (poll while there is some, then sleep), fastpath (always poll), lowcpu
    (never spin)."""
    with Control(directory, name) as router:
        router.call("polling", mode=mode)
