"""freeflow container list"""

import json

import click

from freeflow.cli.options import json_option, router_options
from freeflow.control import Control


@click.command("list", short_help="The containers that the router knows.")
@json_option
@router_options
def command(as_json, directory, name):
    """The containers that the router knows, and how many sessions each has."""
    with Control(directory, name) as router:
        containers = router.call("container.list")["containers"]
    if as_json:
        click.echo(json.dumps(containers, indent=1))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    table = Table("container", "tenant", "addresses", "sessions", "", box=None, pad_edge=False)
    for row in containers:
        said = [] if row["port"] == "up" else ["its link is down"]
        said += [] if row["addresses"] else ["none of its addresses is on its interfaces"]
        said += [f"not its addresses: {' '.join(row['ignored'])}"] if row["ignored"] and row["name"] != "host" else []
        table.add_row(escape(row["name"]), escape(row["tenant"]), " ".join(row["addresses"]), str(row["sessions"]),
                      "; ".join(said))
    Console().print(table)
