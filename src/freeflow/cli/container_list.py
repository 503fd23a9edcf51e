"""freeflow container list"""

import json

import click

from freeflow import cdi
from freeflow.cli.options import json_option, router_options
from freeflow.control import Control


@click.command("list", short_help="The containers that the router knows.")
@json_option
@router_options
def command(as_json, directory, name):
    """The containers that the router knows, how many sessions each has, and for those that an engine made with a FreeFlow
    device, which engine and of which image."""
    with Control(directory, name) as router:
        containers = router.call("container.list")["containers"]
    if as_json:
        click.echo(json.dumps(containers, indent=1))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    table = Table("container", "tenant", "addresses", "sessions", "engine", "image", "", box=None, pad_edge=False)
    for row in containers:
        labels = row.get("labels", {})
        said = [] if row["port"] == "up" else ["its link is down"]
        said += [] if row["addresses"] else ["none of its addresses is on its interfaces"]
        said += [f"not its addresses: {' '.join(row['ignored'])}"] if row["ignored"] and row["name"] != "host" else []
        table.add_row(escape(row["name"]), escape(row["tenant"]), " ".join(row["addresses"]), str(row["sessions"]),
                      escape(labels.get("engine", "")), escape(image_of(labels)), "; ".join(said))
    Console().print(table)


def image_of(labels):
    """What the engine told its hook, else what it says when it is asked. "" where nobody knows."""
    if image := labels.get("image"):
        return image
    if labels.get("engine") in ("podman", "docker") and "id" in labels:
        wanted = {"podman": "{{.ImageName}}", "docker": "{{.Config.Image}}"}[labels["engine"]]
        return cdi.asked(labels["engine"], "inspect", "--type", "container", "--format", wanted, labels["id"]).strip()
    return ""
