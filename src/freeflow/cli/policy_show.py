"""freeflow policy show"""

import json

import click

from freeflow.cli.options import json_option, router_options
from freeflow.control import Control


@click.command("show", short_help="The policy in force, and whose limit is from which record.")
@click.argument("container", required=False)
@json_option
@router_options
def command(container, as_json, directory, name):
    """Which policy file is in force, and whether a later content of it was refused. With CONTAINER: the limits of each of its
    sessions, and the record of the file that says each; without a record it is the default; and which rules let it and others
    reach each other; and its rates, and how long they have held its QPs up."""
    with Control(directory, name) as router:
        said = router.call("policy.show", **({"container": container} if container else {}))
    if as_json:
        click.echo(json.dumps(said, indent=1))
        return
    click.echo(f"policy: {said['file'] or 'none (freeflow router --policy FILE)'}")
    if said["error"]:
        click.echo(f"refused, the last good one stays: {said['error']}")
    for rule in said.get("reach", ()):
        click.echo(f"reaches others, or they it, by {rule}")
    for record, rate in said.get("rates", {}).items():
        most = [f"{rate['bits_per_s'] / 1e9:g} Gbit/s"] * (rate["bits_per_s"] > 0) + [f"{rate['ops_per_s']:g} a second"] * (rate["ops_per_s"] > 0)
        click.echo(f"sends at most {' and '.join(most)}, by {record}; its QPs have waited {rate['held_s']:g} s for it")
    if container and not said["sessions"]:
        click.echo(f"{said['container']}, tenant {said['tenant']}: no session now")
    for number, limits in said.get("sessions", {}).items():
        click.echo(f"session {number} of {said['container']}, tenant {said['tenant']}:")
        for key, most in limits.items():
            click.echo(f"  {key:14} {most:>15}  {said['records'].get(key, 'default')}")
